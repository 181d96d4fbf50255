// How long gradients and weights travel between the ranks that hold the same parameters, when
// nothing else does.
//
// By ZeRO stage (Rajbhandari et al. 2020, section 7): 0 all-reduces gradients, which is a
// reduce-scatter and an all-gather of them; 1 reduce-scatters gradients once a step and all-gathers
// BF16 weights after the update; 2 does the same, but scatters the gradients of every microbatch,
// because no rank has room to add them up; 3 scatters as 2 does and gathers a layer's weights
// before its forward pass and again before its backward pass. Dense parameters travel among dp x cp
// ranks, an expert's among one rank of each expert-parallel group, both doubled where a
// bidirectional schedule holds each stage twice. Every ring is slowed by the fabric as
// sim/network_contention finds.
//
// Left out: FP8 weights on the wire (BF16 ones travel and are cast on arrival, in no time under
// ZeRO 3).
#pragma once

#include "model/collective/collective.hpp"
#include "model/rank_grid.hpp"
#include "model/rank_parameters.hpp"
#include "model/scenario.hpp"
#include "sim/network_contention.hpp"

namespace moesim {

class ParameterTraffic {
 public:
  ParameterTraffic(const Scenario& scenario,
                   const ParallelPlan& plan,
                   const NetworkContention& contention);
  // Gradients of these parameters, all at once.
  Seconds reduce(const StageParameters& gradients) const;
  // BF16 weights of these parameters.
  Seconds gather(const StageParameters& weights) const;

 private:
  Seconds rings(const StageParameters& parameters, double bytes) const;  // of one parameter

  const ClusterSpec& cluster_;
  LinkRates links_;
  GroupPlace dense_, expert_;
  double dense_slowdown_, expert_slowdown_;
  double gradient_bytes_;
  bool all_reduce_;
};

}  // namespace moesim
