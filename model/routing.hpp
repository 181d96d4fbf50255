// Routing: which experts tokens go to, and what that makes each rank of an expert-parallel group
// compute and receive.
//
// Selection is DeepSeek-V3's (section 2.1.2): affinities per expert; a group's score is the sum of
// its best top_k/max_groups affinities; the best max_groups groups are kept and the best top_k
// experts chosen among them (V2 scores a group by its best expert alone). Affinities are
// independent and identically distributed here (every expert equally popular), unless a coefficient
// of variation of the popularity is given; learned popularity, correlation and replay come with the
// routing simulator that will replace this sampler.
//
// Two levels, so that a 2,048-rank step needs no billions of gate decisions:
//   1. token level: a few thousand tokens are routed one by one; from them the mean number of nodes
//      and ranks a token visits and the covariance of expert indicators within and between groups
//      (all others are equal by symmetry);
//   2. group level: expert counts of N tokens are drawn from the normal law with exactly that mean
//      and covariance (central limit; N is 262,144 for EP64 x 4096 tokens). Counts sum to tokens x
//      top_k exactly.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model_spec.hpp"
#include "model/op_graph.hpp"
#include "model/random.hpp"

namespace moesim {

enum class RoutingKind { balanced, sampled };

struct RoutingSpec {
  RoutingKind kind = RoutingKind::sampled;
  std::int64_t max_groups =
      0;  // groups a token may visit; the model's own unless the scenario overrides it
  double popularity_cv = 0;  // standard deviation over mean of expert popularity; 0: all alike
};

// Where experts live: contiguous, num_experts / ep on each rank, ranks of a node next to each
// other.
struct ExpertPlacement {
  std::int64_t ep = 1;              // ranks of the expert-parallel group
  std::int64_t ranks_per_node = 8;  // of this group
  std::int64_t num_nodes() const { return (ep + ranks_per_node - 1) / ranks_per_node; }
};

// Chooses top_k experts for each token from a row of affinities. Ties: the lowest index wins.
// affinity: [num_experts]; returns expert ids in ascending order. `score_experts`: how many of a
// group's best affinities are summed into its score; 0 means V3's top_k / max_groups.
std::vector<std::int64_t> select_experts(const std::vector<double>& affinity,
                                         std::int64_t top_k,
                                         std::int64_t num_groups,
                                         std::int64_t max_groups,
                                         std::int64_t score_experts = 0);

// Means and covariances of one token's choice.
struct TokenStatistics {
  double nodes_per_token = 0;  // distinct nodes visited, the own one included when visited
  double ranks_per_token = 0;  // distinct ranks visited
  double within_group_covariance = 0, between_group_covariance = 0;  // of two experts' indicators
  double remote_nodes_per_token(
      const ExpertPlacement& p) const {  // a source node is as good as any other
    return nodes_per_token * (1 - 1.0 / static_cast<double>(p.num_nodes()));
  }
};

// What one rank does in one layer for one microbatch, and what crosses its NIC.
struct RankTraffic {
  RankLoad load;
  double nic_rows_received =
      0;  // tokens entering this rank's NIC in dispatch (leaving it in combine)
};

class RoutingSampler {
 public:
  RoutingSampler(const MoeSpec& moe,
                 const RoutingSpec& spec,
                 const ExpertPlacement& placement,
                 std::uint64_t seed);

  const TokenStatistics& statistics() const { return statistics_; }
  const ExpertPlacement& placement() const { return placement_; }

  // Loads of all ranks of one group for one layer and microbatch; every rank holds `tokens` tokens.
  // The same arguments give the same loads. Balanced routing returns the expected load for every
  // rank.
  std::vector<RankTraffic> sample(std::int64_t tokens,
                                  std::int64_t group,
                                  std::int64_t layer,
                                  std::int64_t microbatch) const;
  // The load of every rank when all are alike.
  RankTraffic balanced(std::int64_t tokens) const;

 private:
  std::vector<std::int64_t> sample_expert_counts(std::int64_t tokens,
                                                 std::int64_t group,
                                                 std::int64_t layer,
                                                 std::int64_t microbatch) const;
  RankTraffic rank_traffic(const std::int64_t* counts,
                           std::int64_t tokens,
                           double node_share) const;

  MoeSpec moe_;
  RoutingSpec spec_;
  ExpertPlacement placement_;
  std::uint64_t seed_;
  TokenStatistics statistics_;
};

}  // namespace moesim
