// Routing: how many rows each rank of an expert-parallel group computes and receives.
//
// Tokens are made (model/token_logits), routed by the model's gate (model/gate), and counted where
// their experts live (model/placement, model/traffic). A step of 2,048 ranks makes 3.6 billion such
// choices, so it works on two levels:
//   1. the law of a layer: a few thousand tokens are routed one by one. They give the nodes and
//   ranks a
//      token visits, how many rows a rank and a node receive per (token, expert) copy, and the
//      covariance of two experts within a token;
//   2. draws: the experts' counts of N tokens come from the normal law with N times the mean and
//      covariance of one token (central limit; N is 262,144 for EP64 x 4096 tokens). Counts are
//      whole and sum to tokens x top_k exactly.
// Means are exact where the popularity is uniform (symmetry); otherwise logits are calibrated so
// that the routed sample has the wanted loads (model/token_logits), and the realised loads are the
// means. Sequences of their own popularity (RoutingSpec::sequence_cv) widen the draws: the counts
// of S sequences vary by cv / sqrt(S) on top of the choice of single tokens. Covariances are
// pooled: within and between groups of experts, scaled to each expert's own variance.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/op_graph.hpp"
#include "model/routing_spec.hpp"
#include "model/traffic.hpp"

namespace moesim {

// What one layer does to a token, on average.
struct RoutingLaw {
  Placement placement;
  ExpertSlots slots;
  std::vector<double> expert_mean;         // [expert] chance that a token chooses it; sums to top_k
  std::vector<double> rank_rows_per_copy;  // [rank] distinct tokens per copy received
  std::vector<double> node_rows_per_copy;  // [node]
  double nodes_per_token = 0;  // distinct nodes visited, the own one included when visited
  double ranks_per_token = 0;  // distinct ranks visited
  double within_group_covariance = 0, between_group_covariance = 0;  // of two experts' choices
  double residual = 0;  // of the calibration: largest miss of a relative load
};

// Rows an expert's share is padded to in grouped GEMMs.
inline constexpr std::int64_t kRowTile = 128;

// What one rank does in one layer for one microbatch, and what crosses its NIC.
struct RankTraffic {
  RankLoad load;
  double nic_rows_sent = 0, nic_rows_received = 0;  // in dispatch; combine is its mirror image
  double node_mean_received = 0;  // tokens received, mean over the ranks of its node
};

struct RoutingProblem {
  MoeSpec moe;
  RoutingSpec spec;
  PlacementSpec placement;
  std::int64_t ep = 1, ranks_per_node = 8;  // of the expert-parallel group
  std::int64_t num_layers = 1;              // with experts
  std::uint64_t seed = 1;
  std::int64_t ranks_per_sequence = 1;  // context-parallel ranks share one

  bool operator==(const RoutingProblem&) const = default;
};

class RoutingSampler {
 public:
  // Laws of all layers are made here, on `num_threads` threads. Placement and popularity have
  // passed their checks.
  explicit RoutingSampler(const RoutingProblem& problem, int num_threads = 1);
  // With the laws of another sampler, which has_laws_of() this problem.
  RoutingSampler(const RoutingProblem& problem, const RoutingSampler& drawn);

  // Laws do not depend on how sequences differ.
  bool has_laws_of(const RoutingProblem& problem) const;

  const RoutingLaw& law(std::int64_t layer) const;
  const RoutingProblem& problem() const { return problem_; }
  std::int64_t num_nodes() const { return laws_->front().placement.num_nodes(); }
  std::int64_t slots_per_rank() const { return laws_->front().placement.slots_per_rank; }
  // Means over the layers.
  double nodes_per_token() const;
  double ranks_per_token() const;
  // Largest miss of a wanted relative load, over the layers.
  double worst_residual() const;

  // Loads of all ranks of one group for one layer and microbatch; every rank holds `tokens` tokens.
  // The same arguments give the same loads. Balanced routing returns the expected load for every
  // rank.
  std::vector<RankTraffic> sample(std::int64_t tokens,
                                  std::int64_t group,
                                  std::int64_t layer,
                                  std::int64_t microbatch) const;
  // The load of every rank when all are alike.
  RankTraffic balanced(std::int64_t tokens) const;
  // Who sends how many rows to whom, every source drawn on its own; the expected rows when
  // balanced. Copies of an expert with several replicas are spread evenly over them.
  RowCounts sample_rows(std::int64_t tokens,
                        std::int64_t group,
                        std::int64_t layer,
                        std::int64_t microbatch) const;

 private:
  RoutingLaw make_law(std::int64_t layer) const;
  // mean: [expert] chance that a token chooses it; spread_cv: of the experts' means themselves.
  std::vector<std::int64_t> draw_expert_counts(const RoutingLaw& law,
                                               const std::vector<double>& mean,
                                               double spread_cv,
                                               std::int64_t tokens,
                                               Random& random) const;
  std::vector<double> mean_of_sequence(const RoutingLaw& law, std::uint64_t seed) const;
  // [expert]
  std::vector<double> copies_of_source(std::int64_t tokens,
                                       std::int64_t group,
                                       std::int64_t layer,
                                       std::int64_t microbatch,
                                       std::int64_t source) const;
  std::vector<RankTraffic> traffic_of(const RoutingLaw& law,
                                      const std::vector<std::int64_t>& expert_counts,
                                      std::int64_t all_tokens) const;

  RoutingProblem problem_;
  std::shared_ptr<const std::vector<RoutingLaw>> laws_;  // one a layer, or one for all
};

}  // namespace moesim
