// Rows by hand on two nodes of two ranks for the three algorithms; and what must be conserved, for
// tokens of a real gate on contiguous, scattered and redundant placements.
#include <map>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "model/random.hpp"
#include "model/token_logits.hpp"
#include "model/traffic.hpp"
#include "tests/catch.hpp"
#include "tests/token_by_token.hpp"

using namespace moesim;

namespace {

using Flows = std::map<std::pair<int, int>, double>;

Flows as_map(const std::vector<RowFlow>& flows) {
  Flows map;
  for (const RowFlow& f : flows)
    CHECK(map.emplace(std::pair(f.source, f.destination), f.rows).second);
  return map;
}

double total(const std::vector<double>& rows) {
  return std::accumulate(rows.begin(), rows.end(), 0.0);
}

RoutedTokens tokens_of(std::int64_t top_k, const std::vector<std::int32_t>& experts) {
  return {std::ssize(experts) / top_k, top_k, experts, std::vector<float>(experts.size(), 1.0F)};
}

// Two experts on each of four ranks; the tokens of three of the ranks.
const Placement kPairs = {8, 4, 2, 2, {0, 1, 2, 3, 4, 5, 6, 7}};
RowCounts counts_by_hand() {
  return count_rows({tokens_of(3, {0, 2, 3, /**/ 1, 4, 6}),  // ranks 0 1 1, then 0 2 3
                     tokens_of(3, {4, 5, 7}),                // ranks 2 2 3
                     tokens_of(3, {5, 0, 1})},               // ranks 2 0 0
                    kPairs);
}

std::vector<RoutedTokens> routed_tokens(const GateSpec& spec,
                                        std::int64_t num_tokens,
                                        std::int64_t num_sources) {
  Random random(41, num_sources);
  return route_tokens(
      Gate(spec), TokenLogits(spec.num_experts, {}), num_tokens, num_sources, random);
}

// What a rank ends up with: rows over NVLink and the network, and those its own kernel hands to
// itself. Rows that a two-hop rank takes off the network for others are not its own.
std::vector<double> delivered(const ExpertTraffic& traffic, ExpertAlgorithm algorithm) {
  std::vector<double> rows = traffic.rows_handed_out;
  for (const RowFlow& f : traffic.nvlink) {
    rows[static_cast<std::size_t>(f.source)] -= f.rows;
    rows[static_cast<std::size_t>(f.destination)] += f.rows;
  }
  if (algorithm == ExpertAlgorithm::two_hop) return rows;
  for (const RowFlow& f : traffic.network) {
    rows[static_cast<std::size_t>(f.source)] -= f.rows;
    rows[static_cast<std::size_t>(f.destination)] += f.rows;
  }
  return rows;
}

struct Case {
  const char* name;
  std::int64_t num_sources;
  Placement placement;
  std::int64_t most_nodes;  // of a token; 0: not limited by the gate
};
// 16 experts in four groups of four, of which a token visits two.
std::vector<Case> cases() {
  std::vector<Case> all;
  PlacementProblem problem{16, 4, 8, 2, std::vector<double>(16, 1)};
  all.push_back({"a group a node", 8, place_experts({}, problem), 2});
  all.push_back(
      {"round robin", 8, place_experts({PlacementPolicy::round_robin, 0, {}}, problem), 0});
  problem.load[3] = 6;
  problem.load[9] = 4;
  all.push_back({"replicas", 8, place_experts({PlacementPolicy::eplb_global, 8, {}}, problem), 0});
  all.push_back({"replicas in a node",
                 8,
                 place_experts({PlacementPolicy::eplb_hierarchical, 8, {}}, problem),
                 2});
  problem.ranks_per_node = 8;
  all.push_back({"one node", 8, place_experts({}, problem), 1});
  all.push_back({"one source", 1, place_experts({}, problem), 1});
  return all;
}

}  // namespace

TEST_CASE("traffic: copies and distinct tokens by hand", "[traffic]") {
  const RowCounts counts = counts_by_hand();
  CHECK(counts.num_ranks == 4);
  CHECK(counts.num_nodes() == 2);
  CHECK(counts.copies == std::vector<double>{2, 2, 1, 1, 0, 0, 2, 1, 2, 0, 1, 0, 0, 0, 0, 0});
  CHECK(counts.rows_to_rank == std::vector<double>{2, 1, 1, 1, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0});
  CHECK(counts.rows_to_node == std::vector<double>{2, 1, 0, 1, 1, 1, 0, 0});
}

TEST_CASE("traffic: flat sends a token to a rank once", "[traffic]") {
  const ExpertTraffic traffic = expert_traffic(counts_by_hand(), ExpertAlgorithm::flat);
  CHECK(as_map(traffic.nvlink) == Flows{{{0, 1}, 1}});
  CHECK(as_map(traffic.network) ==
        Flows{{{0, 2}, 1}, {{0, 3}, 1}, {{1, 2}, 1}, {{1, 3}, 1}, {{2, 0}, 1}});
  CHECK(traffic.rows_handed_out == std::vector<double>{5, 2, 2, 0});
  CHECK(traffic.wire_rows_nvlink == 1);
  CHECK(traffic.wire_rows_network == 5);
  CHECK(traffic.logical_rows == 9);  // three stay with their rank
}

TEST_CASE("traffic: two hops send a token to a node once and hand it on there", "[traffic]") {
  const ExpertTraffic traffic = expert_traffic(counts_by_hand(), ExpertAlgorithm::two_hop);
  CHECK(as_map(traffic.network) == Flows{{{0, 2}, 1}, {{1, 3}, 1}, {{2, 0}, 1}});
  // Rank 2 got a token of rank 0 for rank 3; rank 3 one of rank 1, for both ranks of the node.
  CHECK(as_map(traffic.nvlink) == Flows{{{0, 1}, 1}, {{2, 3}, 1}, {{3, 2}, 1}});
  CHECK(traffic.rows_handed_out == std::vector<double>{4, 0, 3, 2});
  CHECK(traffic.wire_rows_network == 3);
  CHECK(traffic.wire_rows_nvlink == 3);
  CHECK(traffic.logical_rows == 6);  // the own node's counted
}

TEST_CASE("traffic: low latency sends every copy", "[traffic]") {
  const ExpertTraffic traffic = expert_traffic(counts_by_hand(), ExpertAlgorithm::low_latency);
  CHECK(as_map(traffic.nvlink) == Flows{{{0, 1}, 2}});
  CHECK(as_map(traffic.network) ==
        Flows{{{0, 2}, 1}, {{0, 3}, 1}, {{1, 2}, 2}, {{1, 3}, 1}, {{2, 0}, 2}});
  CHECK(traffic.rows_handed_out == std::vector<double>{6, 3, 3, 0});
  CHECK(traffic.wire_rows_nvlink == 2);
  CHECK(traffic.wire_rows_network == 7);
  CHECK(traffic.logical_rows == 12);
}

TEST_CASE("traffic: on one node two hops are one", "[traffic]") {
  Placement one_node = kPairs;
  one_node.ranks_per_node = 4;
  const RowCounts counts = count_rows({tokens_of(3, {0, 2, 3}), tokens_of(3, {4, 5, 7})}, one_node);
  const ExpertTraffic two_hop = expert_traffic(counts, ExpertAlgorithm::two_hop);
  CHECK(two_hop.network.empty());
  CHECK(as_map(two_hop.nvlink) == Flows{{{0, 1}, 1}, {{1, 2}, 1}, {{1, 3}, 1}});
  CHECK(two_hop.logical_rows == 4);  // rows for ranks, as the node's own would count two tokens
  const ExpertTraffic flat = expert_traffic(counts, ExpertAlgorithm::flat);
  CHECK(as_map(flat.nvlink) == as_map(two_hop.nvlink));
  CHECK(flat.logical_rows == two_hop.logical_rows);
}

TEST_CASE("traffic: replicas of an expert are taken in turn", "[traffic]") {
  // Expert 0 on ranks 0, 1 and 2; source r starts r replicas later.
  const Placement placement = {2, 4, 2, 1, {0, 0, 0, 1}};
  const RoutedTokens tokens = tokens_of(1, {0, 0, 0, 0, 1});
  const RowCounts counts = count_rows({tokens, tokens, tokens}, placement);
  CHECK(counts.copies == std::vector<double>{2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 2, 1, 0, 0, 0, 0});
}

TEST_CASE("traffic: combine is dispatch backwards", "[traffic]") {
  for (const auto algorithm :
       {ExpertAlgorithm::flat, ExpertAlgorithm::two_hop, ExpertAlgorithm::low_latency}) {
    const ExpertTraffic there = expert_traffic(counts_by_hand(), algorithm), back = mirrored(there);
    for (const auto& [way, same] :
         {std::pair(&there.nvlink, &back.nvlink), std::pair(&there.network, &back.network)}) {
      Flows turned;
      for (const auto& [ends, rows] : as_map(*way)) turned[{ends.second, ends.first}] = rows;
      CHECK(as_map(*same) == turned);
    }
    CHECK(back.logical_rows == there.logical_rows);
    CHECK(back.wire_rows_nvlink == there.wire_rows_nvlink);
    CHECK(back.wire_rows_network == there.wire_rows_network);
  }
}

TEST_CASE("traffic: counts equal sets of tokens", "[traffic]") {
  const GateSpec gate{16, 4, 4, 2, ScoreFunction::sigmoid, GroupScore::sum_of_best, true, 1};
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    const auto tokens = routed_tokens(gate, 100, c.num_sources);
    const RowCounts counts = count_rows(tokens, c.placement);
    const ExpertSlots slots = slots_of_experts(c.placement);
    for (std::int64_t source = 0; source < counts.num_ranks; ++source) {
      std::map<std::int64_t, double> copies;
      std::map<std::int64_t, std::set<std::int64_t>> on_rank, on_node;
      std::int64_t num_tokens = 0;
      if (source < c.num_sources) {
        const RoutedTokens& own = tokens[static_cast<std::size_t>(source)];
        num_tokens = own.num_tokens;
        for (std::int64_t i = 0; i < own.num_tokens * own.top_k; ++i) {
          const std::int64_t token = i / own.top_k;
          const auto replicas = slots.of(own.experts[static_cast<std::size_t>(i)]);
          const auto turn = static_cast<std::size_t>(token + source) % replicas.size();
          const std::int64_t rank = replicas[turn] / c.placement.slots_per_rank;
          copies[rank] += 1;
          on_rank[rank].insert(token);
          on_node[rank / c.placement.ranks_per_node].insert(token);
        }
      }
      double all_copies = 0, all_rank_rows = 0, all_node_rows = 0;
      for (std::int64_t rank = 0; rank < counts.num_ranks; ++rank) {
        const std::size_t to = counts.to_rank(source, rank);
        CHECK(counts.copies[to] == copies[rank]);
        CHECK(counts.rows_to_rank[to] == static_cast<double>(on_rank[rank].size()));
        all_copies += counts.copies[to];
        all_rank_rows += counts.rows_to_rank[to];
      }
      for (std::int64_t node = 0; node < counts.num_nodes(); ++node) {
        const double rows = counts.rows_to_node[counts.to_node(source, node)];
        CHECK(rows == static_cast<double>(on_node[node].size()));
        all_node_rows += rows;
      }
      CHECK(all_copies == static_cast<double>(num_tokens * 4));
      CHECK(all_rank_rows <= all_copies);
      CHECK(all_node_rows <= all_rank_rows);
      if (c.most_nodes > 0) CHECK(all_node_rows <= static_cast<double>(num_tokens * c.most_nodes));
    }
  }
}

TEST_CASE("traffic: every row arrives where it is wanted, whatever the way", "[traffic]") {
  const GateSpec gate{16, 4, 4, 2, ScoreFunction::sigmoid, GroupScore::sum_of_best, true, 1};
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    const RowCounts counts = count_rows(routed_tokens(gate, 100, c.num_sources), c.placement);
    for (const auto algorithm :
         {ExpertAlgorithm::flat, ExpertAlgorithm::two_hop, ExpertAlgorithm::low_latency}) {
      CAPTURE(static_cast<int>(algorithm));
      const ExpertTraffic traffic = expert_traffic(counts, algorithm);
      const bool of_copies = algorithm == ExpertAlgorithm::low_latency;
      const std::vector<double>& wanted = of_copies ? counts.copies : counts.rows_to_rank;
      std::vector<double> arrived = delivered(traffic, algorithm);
      for (std::int64_t source = 0; source < counts.num_ranks; ++source)
        for (std::int64_t rank = 0; rank < counts.num_ranks; ++rank)
          arrived[static_cast<std::size_t>(rank)] -= wanted[counts.to_rank(source, rank)];
      CHECK(arrived == std::vector<double>(arrived.size(), 0.0));
      CHECK(total(traffic.rows_handed_out) == total(wanted));

      for (const RowFlow& f : traffic.nvlink) {
        CHECK(f.source != f.destination);
        CHECK(c.placement.node_of_rank(f.source) == c.placement.node_of_rank(f.destination));
      }
      double remote = 0;  // rows for other nodes, as often as this algorithm sends them
      for (const RowFlow& f : traffic.network) {
        const std::int64_t per_node = c.placement.ranks_per_node;
        CHECK(f.source / per_node != f.destination / per_node);
        if (algorithm == ExpertAlgorithm::two_hop) {
          CHECK(f.source % per_node == f.destination % per_node);
          CHECK(f.rows == counts.rows_to_node[counts.to_node(f.source, f.destination / per_node)]);
        }
      }
      for (std::int64_t source = 0; source < counts.num_ranks; ++source) {
        const std::int64_t own = c.placement.node_of_rank(source);
        for (std::int64_t node = 0; node < counts.num_nodes(); ++node)
          if (node != own && algorithm == ExpertAlgorithm::two_hop)
            remote += counts.rows_to_node[counts.to_node(source, node)];
        for (std::int64_t rank = 0; rank < counts.num_ranks; ++rank)
          if (c.placement.node_of_rank(rank) != own && algorithm != ExpertAlgorithm::two_hop)
            remote += wanted[counts.to_rank(source, rank)];
      }
      CHECK(traffic.wire_rows_network == remote);
      CHECK(traffic.wire_rows_network <= traffic.logical_rows);
      if (algorithm != ExpertAlgorithm::two_hop)
        CHECK(traffic.wire_rows_nvlink + traffic.wire_rows_network <= traffic.logical_rows);
    }
    // What the ways cost the network: two hops at most as much as flat, flat as low latency.
    const auto network = [&](ExpertAlgorithm a) {
      return expert_traffic(counts, a).wire_rows_network;
    };
    CHECK(network(ExpertAlgorithm::two_hop) <= network(ExpertAlgorithm::flat));
    CHECK(network(ExpertAlgorithm::flat) <= network(ExpertAlgorithm::low_latency));
  }
}
