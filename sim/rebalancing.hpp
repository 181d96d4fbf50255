// Experts placed anew every so many steps while their popularity drifts: how unequal the GPUs are
// between two rebalances, and what a rebalance moves.
//
// Loads are expected ones (replicas of an expert share its load equally), so that what is seen is
// drift and not chance. A new placement is computed from the load of its own step, as if that were
// known: real systems place by an earlier window. Left out: what else a move may have to carry
// (gradients, optimizer states), and the time in which old and new weights are both in memory.
#pragma once

#include <cstdint>
#include <vector>

#include "model/collective/collective.hpp"
#include "model/scenario.hpp"

namespace moesim {

struct RebalancingOptions {
  std::int64_t every = 1, num_steps = 2;  // every < num_steps: there is a rebalance to see
  std::int64_t layer = 0;                 // of those with experts; stands for all of them
};

// Largest load of a rank over the mean, by step.
struct RebalancingResult {
  std::vector<double> rebalanced, never;  // [num_steps]; never: the first placement stays
  std::vector<double> contiguous;         // [num_steps], or empty: the experts do not divide
  // [rebalances]: of one step, under the placement it ends and under the one it begins.
  std::vector<double> before, after;
  std::vector<PlacementChange> changes;  // [rebalances], of one layer
};
// The phase's policy is an eplb one. InputError where the drift comes to a load that no routing can
// give.
RebalancingResult simulate_rebalancing(const Scenario& scenario,
                                       const TrainingPhase& phase,
                                       const RebalancingOptions& options);

// Of one rebalance of all layers, in one expert-parallel group of every pipeline rank (which holds
// two stages under a bidirectional schedule).
struct RebalanceCost {
  double replicas_moved = 0, replicas_from_own_node = 0;  // of one layer
  std::int64_t num_layers = 0;  // with experts, over all ranks of a pipeline
  Bytes expert_weights;         // in the recipe's precision
  Bytes moved, from_own_node;
  // No sooner: the mean bytes of a GPU over its NIC and over NVLink, and the most that one receives
  // over both, for the pipeline rank with most layers.
  Seconds at_least;
};
// changes: not empty; their mean.
RebalanceCost rebalance_cost(const std::vector<PlacementChange>& changes,
                             const Scenario& scenario,
                             const TrainingPhase& phase);

}  // namespace moesim
