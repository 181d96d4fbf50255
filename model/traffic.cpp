#include "model/traffic.hpp"

#include <algorithm>

#include "model/errors.hpp"

namespace moesim {
namespace {

std::size_t idx(std::int64_t i) { return static_cast<std::size_t>(i); }

// Marks units (ranks or nodes) that the current token has been counted for.
class Seen {
 public:
  explicit Seen(std::int64_t num_units) : token_(idx(num_units), -1) {}
  bool first_time(std::int64_t unit, std::int64_t token) {
    const bool is_new = token_[idx(unit)] != token;
    token_[idx(unit)] = token;
    return is_new;
  }

 private:
  std::vector<std::int64_t> token_;
};

// The slot that computes the choice of `expert` by the token.
std::int32_t slot_of(const ExpertSlots& slots, std::int32_t expert, std::int64_t token) {
  const auto replicas = slots.of(expert);
  return replicas[idx(token) % replicas.size()];
}

}  // namespace

RowCounts::RowCounts(std::int64_t ranks, std::int64_t per_node)
    : num_ranks(ranks),
      ranks_per_node(per_node),
      copies(idx(ranks * ranks), 0),
      rows_to_rank(idx(ranks * ranks), 0),
      rows_to_node(idx(ranks * num_nodes()), 0) {
  ENSURE(ranks <= per_node || ranks % per_node == 0);
}

RowCounts count_rows(const std::vector<RoutedTokens>& tokens, const Placement& placement) {
  RowCounts counts(placement.num_ranks, placement.ranks_per_node);
  const auto num_sources = static_cast<std::int64_t>(tokens.size());
  ENSURE(num_sources <= counts.num_ranks);
  const ExpertSlots slots = slots_of_experts(placement);
  for (std::int64_t source = 0; source < num_sources; ++source) {
    const RoutedTokens& own = tokens[idx(source)];
    Seen ranks(counts.num_ranks), nodes(counts.num_nodes());
    for (std::int64_t t = 0; t < own.num_tokens; ++t)
      for (std::int64_t k = 0; k < own.top_k; ++k) {
        const std::int32_t expert = own.experts[idx(t * own.top_k + k)];
        // Sources start at different replicas, so that equal positions do not all meet at one.
        const std::int64_t rank = placement.rank_of_slot(slot_of(slots, expert, t + source));
        const std::int64_t node = placement.node_of_rank(rank);
        counts.copies[counts.to_rank(source, rank)] += 1;
        if (ranks.first_time(rank, t)) counts.rows_to_rank[counts.to_rank(source, rank)] += 1;
        if (nodes.first_time(node, t)) counts.rows_to_node[counts.to_node(source, node)] += 1;
      }
  }
  return counts;
}

ExpertTraffic expert_traffic(const RowCounts& counts, ExpertAlgorithm algorithm) {
  ExpertTraffic traffic;
  traffic.algorithm = algorithm;
  const std::int64_t n = counts.num_ranks, per_node = std::min(counts.ranks_per_node, n);
  auto total = [](const std::vector<double>& rows) {
    double sum = 0;
    for (const double v : rows) sum += v;
    return sum;
  };
  auto add = [&](std::int64_t from, std::int64_t to, double rows) {
    if (rows <= 0 || from == to) return;
    const bool same_node = from / per_node == to / per_node;
    (same_node ? traffic.nvlink : traffic.network)
        .push_back({static_cast<std::int32_t>(from), static_cast<std::int32_t>(to), rows});
  };
  traffic.rows_handed_out.assign(idx(n), 0);

  if (algorithm != ExpertAlgorithm::two_hop) {
    const auto& rows = algorithm == ExpertAlgorithm::flat ? counts.rows_to_rank : counts.copies;
    for (std::int64_t from = 0; from < n; ++from)
      for (std::int64_t to = 0; to < n; ++to) {
        add(from, to, rows[counts.to_rank(from, to)]);
        traffic.rows_handed_out[idx(from)] += rows[counts.to_rank(from, to)];
      }
    traffic.logical_rows = total(rows);
  } else {
    for (std::int64_t from = 0; from < n; ++from)
      for (std::int64_t node = 0; node < counts.num_nodes(); ++node)
        if (node != from / per_node)
          add(from,
              node * per_node + from % per_node,
              counts.rows_to_node[counts.to_node(from, node)]);
    // Rank g hands out what its peers of equal local index on all nodes, itself among them, have
    // for its node.
    for (std::int64_t g = 0; g < n; ++g)
      for (std::int64_t to = g / per_node * per_node; to < (g / per_node + 1) * per_node; ++to) {
        double rows = 0;
        for (std::int64_t from = g % per_node; from < n; from += per_node)
          rows += counts.rows_to_rank[counts.to_rank(from, to)];
        add(g, to, rows);
        traffic.rows_handed_out[idx(g)] += rows;
      }
    traffic.logical_rows =
        total(counts.num_nodes() == 1 ? counts.rows_to_rank : counts.rows_to_node);
  }
  for (const RowFlow& f : traffic.nvlink) traffic.wire_rows_nvlink += f.rows;
  for (const RowFlow& f : traffic.network) traffic.wire_rows_network += f.rows;
  return traffic;
}

ExpertTraffic mirrored(ExpertTraffic traffic) {
  // A rank hands out what it had been handed; what had stayed with it stays. In two hops that is
  // what crosses NVLink.
  auto hand_back = [&](const std::vector<RowFlow>& flows) {
    for (const RowFlow& f : flows) {
      traffic.rows_handed_out[idx(f.source)] -= f.rows;
      traffic.rows_handed_out[idx(f.destination)] += f.rows;
    }
  };
  hand_back(traffic.nvlink);
  if (traffic.algorithm != ExpertAlgorithm::two_hop) hand_back(traffic.network);
  for (auto* flows : {&traffic.nvlink, &traffic.network})
    for (RowFlow& f : *flows) std::swap(f.source, f.destination);
  return traffic;
}

}  // namespace moesim
