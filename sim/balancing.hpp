// Load balancing as dynamics: batch after batch is routed by a router that starts skewed, and what
// balances it acts between the batches.
//
// The router is a mean field: logits are random (model/token_logits.hpp) around one offset an
// expert, and the offsets are all that is learnt. Two mechanisms, which may act together (V3's do):
//
//   auxiliary losses  offset -= learning rate x dL / d(offset), sim/balancing_loss.hpp
//   bias update       bias += speed where an expert got less than the mean load of the batch,
//                     -= speed where it got more ("auxiliary-loss-free": V3, arXiv 2412.19437,
//                     section 2.1.2; Wang et al., arXiv 2408.15664, algorithm 1). The bias takes
//                     part in the choice alone
//
// Balance is measured as in Wang et al. (eq. 4): MaxVio = max load / mean load - 1, of a batch or
// of the loads summed over many; and as the coefficient of variation of the loads. Both have a
// floor above 0: experts that are equally popular differ by chance.
//
// Left out: the language-model loss, which pulls against balance, so that what an auxiliary loss
// reaches here is the most it can; hidden states, so an offset moves all tokens alike; and Adam:
// the learning rate is of plain gradient descent, and has no published counterpart.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/gate.hpp"
#include "model/token_logits.hpp"
#include "sim/balancing_capacity.hpp"
#include "sim/balancing_loss.hpp"

namespace moesim {

// With learning_rate = 0 and bias_speed = 0 nothing balances.
struct BalancingOptions {
  GateSpec gate;
  std::vector<float> offsets;  // at the start: [num_experts]; of a skewed popularity
  CorrelationSpec correlation;
  std::int64_t num_batches = 100;
  std::int64_t tokens_per_batch = 4096;
  std::int64_t num_sequences = 1;  // in a batch, of equal length; losses are of a sequence each

  BalanceWeights loss;
  DeviceLayout devices;
  double learning_rate = 0;
  double bias_speed = 0;  // gamma; V3: 0.001, and 0 for its last 500B tokens

  CapacitySpec capacity;
  double protected_share = 0;  // of the sequences, the first ones; V2: 0.1

  // Probability that an expert cannot be chosen during a batch, to force the others to learn; at
  // least top_k remain. Where the group limit leaves too few of these, one that is out is chosen.
  // Not used by DeepSeek, and not the dropout inside an expert that Switch calls by this name.
  double expert_dropout = 0;
  std::uint64_t seed = 1;
};

struct BalancingResult {
  std::vector<double> max_vio, cv;   // [num_batches], before any choice is dropped
  std::vector<double> loss;          // [num_batches], weighted; mean over the sequences
  std::vector<double> drop_rate;     // [num_batches]
  double max_vio_global = 0;         // of the loads summed over all batches
  std::vector<float> offsets, bias;  // at the end: [num_experts]
};

BalancingResult simulate_balancing(const BalancingOptions& options);

// The parts of it.
std::vector<std::int64_t> expert_loads(const RoutedTokens& routed, std::int64_t num_experts);
double max_violation(std::span<const std::int64_t> loads);
double coefficient_of_variation(std::span<const std::int64_t> loads);
void update_bias(std::span<const std::int64_t> loads, double speed, std::vector<float>& bias);

}  // namespace moesim
