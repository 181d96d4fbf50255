// One step of fixed batches, every rank alike: what published throughputs are of.
#pragma once

#include <cstdint>

#include "model/serving/serving_memory.hpp"
#include "model/serving/serving_scenario.hpp"
#include "sim/serving/step_time.hpp"

namespace moesim {

struct StepPointResult {
  StepPoint point;
  Seconds step, tpot;  // tpot: of a decoding request, accepted drafts counted
  double prompt_tokens_per_s_per_gpu = 0, output_tokens_per_s_per_gpu = 0;
  std::int64_t gpus_per_node = 1;  // for the figures by node
  StepBreakdown breakdown;
  ServingMemory memory;  // for steps as large as this one
  std::int64_t pages_needed = 0;
  bool fits = false;
  std::int64_t largest = 0;  // most requests (or prompts) that fit; memory alone
  double tokens_per_s_per_node() const {
    return static_cast<double>(gpus_per_node) *
           (prompt_tokens_per_s_per_gpu + output_tokens_per_s_per_gpu);
  }
};

// Tokens that a step of a decoding request makes, on average: 1 + a1 + a1 a2 + ...
double tokens_per_step(const EngineSpec& engine);

// The pool's limits of a step are replaced by the point's own, and prompts of one step spread what
// sequences differ by.
UnitRouting step_routing(const ModelSpec& model,
                         const PoolSpec& pool,
                         const RoutingSpec& routing,
                         const StepPoint& point,
                         std::uint64_t seed,
                         int num_threads,
                         DrawnSamplers& drawn);
StepPointResult step_point(const ModelSpec& model,
                           const PoolSpec& pool,
                           const UnitRouting& routing,
                           const StepPoint& point);
StepPointResult step_point(const ModelSpec& model,
                           const PoolSpec& pool,
                           const RoutingSpec& routing,
                           const StepPoint& point,
                           std::uint64_t seed,
                           int num_threads = 1);

}  // namespace moesim
