// The auxiliary losses by which a router is taught to spread its tokens.
//
// All but one have the same form, L = sum_i f_i P_i over the experts: f_i is how much an expert
// (its device) was chosen, counted and hence not differentiated; P_i is its mean affinity, through
// which the gradient flows. Raising an affinity costs more where the load is high. With T tokens, N
// routed experts, K of them chosen a token, D devices holding N / D neighbouring experts each, of
// which a token may visit M:
//
//   expert         f_i = N / (K T) x tokens that chose i                 DeepSeekMoE eq. 12-14,
//                                                                        V2 eq. 23-25, V3 eq. 17-20
//   device         f'_d = mean of f_i over the experts of device d       DeepSeekMoE eq. 15-17,
//                  P'_d = sum of P_i over them                           V2 eq. 26-28
//   communication  f''_d = D / (M T) x tokens sent to d; P'_d as above   V2 eq. 29-31
//   entropy        sum_i P_i ln P_i, the negative entropy of the mean affinity, least where every
//                  expert is alike (the global entropy loss of LIMoE, arXiv 2206.02770); not used
//                  by DeepSeek
//
// Switch's loss (arXiv 2101.03961, eq. 4-6) is the expert loss with K = 1; GShard's (arXiv
// 2006.16668, section 2.2) is its ancestor. V3's is the expert loss of each sequence alone
// ("sequence-wise"): call it for one sequence at a time. Affinities enter P divided by their sum
// over the experts of the token, as V3 does (eq. 19); those of a softmax have the sum 1 already. In
// perfect balance each of the first three is 1.
//
// (DeepSeekMoE is arXiv 2401.06066, V2 arXiv 2405.04434, V3 arXiv 2412.19437.)
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/model_spec.hpp"

namespace moesim {

// Each loss is multiplied by its weight (alpha) before they are added.
struct BalanceWeights {
  double expert = 0;         // V2: 0.003; V3, by sequence: 0.0001; Switch: 0.01
  double device = 0;         // V2: 0.05
  double communication = 0;  // V2: 0.02
  double entropy = 0;
  bool any() const { return expert != 0 || device != 0 || communication != 0 || entropy != 0; }
};

struct DeviceLayout {
  std::int64_t num_devices = 1;  // a divisor of the number of experts
  std::int64_t max_devices = 1;  // that a token may visit: M
};

// Tokens whose loads are counted together, a sequence or a batch.
struct ChosenExperts {
  std::span<const std::int32_t> experts;  // [num_tokens, top_k]
  std::int64_t top_k = 1;
  std::int64_t num_tokens() const { return static_cast<std::int64_t>(experts.size()) / top_k; }
};

struct BalanceLoss {
  double value = 0;
  std::vector<double> slope;  // dL / dP_i: [num_experts]
};

// P: [num_experts], with the sum 1. affinities: [num_tokens, num_experts].
std::vector<double> mean_affinity(std::span<const float> affinities, std::int64_t num_experts);

// mean_affinity: P, of the same tokens as `chosen`.
BalanceLoss expert_loss(const ChosenExperts& chosen, std::span<const double> mean_affinity);
BalanceLoss device_loss(const ChosenExperts& chosen,
                        std::span<const double> mean_affinity,
                        std::int64_t num_devices);
BalanceLoss communication_loss(const ChosenExperts& chosen,
                               std::span<const double> mean_affinity,
                               const DeviceLayout& layout);
BalanceLoss entropy_loss(std::span<const double> mean_affinity);

// All of them, weighted and added.
BalanceLoss balance_loss(const BalanceWeights& weights,
                         const DeviceLayout& layout,
                         const ChosenExperts& chosen,
                         std::span<const double> mean_affinity);

// dL / d(offset added to an expert's logit), from a loss's slope: [num_experts]. affinities: those
// of the gate, [num_tokens, num_experts], not yet divided by their sums.
std::vector<double> offset_gradient(ScoreFunction score,
                                    std::span<const float> affinities,
                                    std::span<const double> slope);

}  // namespace moesim
