// From routed tokens to who sends how many rows to whom. A row is one token's vector with its
// scales and metadata (op_graph's ExpertMessage says how many bytes).
//
// Three counts of the same tokens, per source rank; the traffic of every algorithm follows from
// them:
//   copies        (token, expert) pairs        sum over destinations = tokens x top_k
//   rows_to_rank  distinct tokens for a rank   at most min(copies, tokens)
//   rows_to_node  distinct tokens for a node   sum over nodes <= tokens x node limit
// They are whole numbers when counted from tokens (count_rows), and means or draws when they come
// from the law of the routing (model/routing.hpp).
//
// Algorithms, for dispatch:
//   flat         one row per (token, rank), straight to the rank
//   two_hop      one row per (token, node) over the network to the rank of the same local index,
//   handed
//                on over NVLink to the ranks that want it (V3, section 3.2.2; DeepEP "normal")
//   low_latency  one row per (token, expert), duplicates included (DeepEP "low-latency")
// Combine is the mirror image.
//
// Wire rows cross a link. Logical rows are what DeepEP's benchmarks divide by time: they include
// rows for the own node (two_hop) or the own rank (one node, flat, low_latency), which cross no
// such link.
#pragma once

#include <cstdint>
#include <vector>

#include "model/gate.hpp"
#include "model/placement/placement.hpp"

namespace moesim {

struct RowCounts {
  // All zero. Nodes are full, or there is just one.
  RowCounts(std::int64_t num_ranks, std::int64_t ranks_per_node);
  std::int64_t num_ranks = 0, ranks_per_node = 1;
  std::vector<double> copies, rows_to_rank;  // [source rank, destination rank]
  std::vector<double> rows_to_node;          // [source rank, destination node]
  std::int64_t num_nodes() const { return (num_ranks + ranks_per_node - 1) / ranks_per_node; }
  std::size_t to_rank(std::int64_t source, std::int64_t rank) const {
    return static_cast<std::size_t>(source * num_ranks + rank);
  }
  std::size_t to_node(std::int64_t source, std::int64_t node) const {
    return static_cast<std::size_t>(source * num_nodes() + node);
  }
};

// tokens[r]: those of source rank r; there may be fewer sources than ranks. Tokens that chose an
// expert with several replicas take them in turn.
RowCounts count_rows(const std::vector<RoutedTokens>& tokens, const Placement& placement);

enum class ExpertAlgorithm { flat, two_hop, low_latency };

struct RowFlow {
  std::int32_t source = 0, destination = 0;  // ranks of the group
  double rows = 0;                           // on the wire
};

struct ExpertTraffic {
  ExpertAlgorithm algorithm = ExpertAlgorithm::flat;
  std::vector<RowFlow> nvlink;          // between ranks of one node
  std::vector<RowFlow> network;         // between nodes
  std::vector<double> rows_handed_out;  // [rank]; what its kernel copies, the own ones included
  double wire_rows_nvlink = 0, wire_rows_network = 0, logical_rows = 0;  // of all ranks
};
ExpertTraffic expert_traffic(const RowCounts& counts, ExpertAlgorithm algorithm);
// Combine from dispatch: every row goes back the way it came.
ExpertTraffic mirrored(ExpertTraffic traffic);

}  // namespace moesim
