// What a scenario's routing does to its cluster, token by token: the tokens of one expert-parallel
// group are routed by the model's gate, counted where their experts live, and sent over the
// cluster's network. model/routing draws the counts of a step's billions of choices from a law;
// here every choice of one layer and one microbatch is made.
//
// Left out: whatever runs beside the exchange (the network is the exchange's alone, and so are the
// SMs it was given), the fixed overheads of its kernels, and sequences with a popularity of their
// own (RoutingSpec::sequence_cv).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "model/network/network.hpp"
#include "model/routing.hpp"
#include "model/routing_record.hpp"
#include "model/scenario.hpp"

namespace moesim {

struct LoadSpread {
  double mean = 0;
  double max_over_mean = 0, min_over_mean = 0;
  double cv = 0;  // standard deviation over the mean
  // As Wang et al. measure balance (arXiv 2408.15664, eq. 4).
  double max_violation() const { return max_over_mean - 1; }
};
LoadSpread spread_of(const std::vector<double>& loads);  // not empty, of a positive sum

// (token, expert) pairs that each of them computes.
struct UnitLoads {
  std::vector<double> expert, rank, node;
};
// When replicas of an expert share its load equally. expert_load: [num_experts], in any unit.
UnitLoads expected_loads(const std::vector<double>& expert_load, const Placement& placement);

struct TokenVisits {
  double copies_per_token = 0, ranks_per_token = 0, nodes_per_token = 0;
  std::vector<double> share_by_nodes;  // [num_nodes + 1]: of the tokens that visit so many nodes
};

struct GroupStudy {
  UnitLoads loads;
  TokenVisits visits;
  RowCounts rows;
};
// tokens[r]: those of rank r; there may be fewer of them than ranks.
GroupStudy study_tokens(const std::vector<RoutedTokens>& tokens, const Placement& placement);
// Distinct tokens sent from node to node, the own one included: [num_nodes, num_nodes].
std::vector<double> rows_between_nodes(const RowCounts& rows);

struct ExchangeTime {
  Bytes row;
  Seconds busiest_link;  // no exchange of these rows ends sooner
  Seconds simulated;
};
// One dispatch and the combine that mirrors it.
struct ExchangeStudy {
  ExpertAlgorithm algorithm = ExpertAlgorithm::flat;
  double network_rows = 0, nvlink_rows = 0, logical_rows = 0;  // of all ranks
  ExchangeTime dispatch, combine;
};
struct ExchangeSetting {
  const Network& network;
  ExpertMessage row;
  Bandwidth dispatch_copy, combine_copy;  // of the SMs of one GPU
};
// By all three algorithms, the group's rank 0 on GPU 0. Independent of `num_threads`.
std::array<ExchangeStudy, 3> study_exchange(const RowCounts& rows,
                                       const ExchangeSetting& setting,
                                       int num_threads);

struct RoutingStudyOptions {
  std::int64_t layer = 0;  // of those with experts
  std::int64_t tokens_per_rank = 1024;
  int num_threads = 1;
};
struct RoutingStudy {
  GateSpec gate;
  Placement placement;
  std::vector<double> wanted;  // relative load by the popularity: [num_experts]
  std::vector<float> offsets;  // with which the gate gives it: [num_experts]
  double residual = 0;         // by how much it does not (model/token_logits)
  std::int64_t num_tokens = 0;
  GroupStudy group;
  std::array<ExchangeStudy, 3> exchange;
  // Without a node limit; nothing where there is none.
  std::optional<std::array<ExchangeStudy, 3>> unlimited;
};
// For loads yet to be given.
PlacementProblem placement_problem(const RoutingProblem& problem);
// The model has experts, and the phase is simulated.
RoutingStudy study_routing(const Scenario& scenario,
                           const TrainingPhase& phase,
                           const RoutingStudyOptions& options);

// A recorded layer, placed by its own loads.
struct ReplayedLayer {
  std::int64_t layer = 0;  // as recorded; a table of loads counts its rows
  UnitLoads loads;
  std::optional<TokenVisits> visits;  // where tokens were recorded
};
// Tokens belong to the ranks in equal, contiguous parts.
std::vector<ReplayedLayer> replay(const TokenRecords& recorded, const RoutingProblem& problem);
std::vector<ReplayedLayer> replay(const LoadTable& recorded, const RoutingProblem& problem);

}  // namespace moesim
