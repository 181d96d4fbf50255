// The gate: which experts each token goes to, from the router's logits.
//
//   affinity   softmax over all experts (Switch, GShard, DeepSeekMoE, V2) or sigmoid (V3)
//   selection  the top_k best of affinity + bias; the bias (V3, section 2.1.2, "auxiliary-loss-free
//              load balancing") decides who is chosen and never enters the weight
//   groups     only experts of the best max_groups groups are candidates. A group's score is its
//              best affinity (V2, section 2.2.2, device-limited) or the sum of its best
//              top_k / max_groups (V3, section 2.1.2, node-limited); scores include the bias, as
//              the selection does
//   weight     the chosen affinities, divided by their sum where the model renormalises (V3),
//              times the model's routed scaling factor
//
// Ties, exactly: of two equal selection scores the lower expert index wins, of two equal group
// scores the lower group index. All arithmetic is in float. Without a bias the logits stand in for
// the affinities wherever only order matters: the same order, without the rounding that makes large
// affinities equal. The best affinities of a group are summed from the best down.
//
// Left out: noise on the logits (Shazeer et al. 2017, arXiv 1701.06538, eq. 4), a random second
// expert (GShard, arXiv 2006.16668, algorithm 1) and capacity, which is sim/balancing_capacity.hpp.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/model_spec.hpp"

namespace moesim {

struct GateSpec {
  std::int64_t num_experts = 0, top_k = 0;
  std::int64_t num_groups = 1, max_groups = 1;
  ScoreFunction score = ScoreFunction::softmax;
  GroupScore group_score = GroupScore::sum_of_best;
  bool renormalise = false;
  double scale = 1;
};

// A model's own gate, with the node limit of the scenario (1 .. num_groups, and enough of them to
// hold top_k experts: the scenario's reader refuses others).
GateSpec gate_spec(const MoeSpec& moe, std::int64_t max_groups);

// Experts in the order of selection, the highest score first.
struct RoutedTokens {
  std::int64_t num_tokens = 0, top_k = 0;
  std::vector<std::int32_t> experts;  // [num_tokens, top_k]
  std::vector<float> weights;         // [num_tokens, top_k]
};

class Gate {
 public:
  explicit Gate(const GateSpec& spec);
  const GateSpec& spec() const { return spec_; }

  // logits: [num_tokens, num_experts]; bias: [num_experts], or empty for none. `out` is resized;
  // its memory is reused from call to call. Logits have to be finite: a NaN is never chosen, and
  // where one leaves too few experts or spoils a weight, ENSURE fails.
  void route(const float* logits,
             std::int64_t num_tokens,
             std::span<const float> bias,
             RoutedTokens& out) const;

  // The affinities alone, before any normalisation over the chosen: [num_tokens, num_experts].
  void affinities(const float* logits, std::int64_t num_tokens, float* out) const;

 private:
  GateSpec spec_;
};

}  // namespace moesim
