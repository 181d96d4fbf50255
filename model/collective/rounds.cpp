#include "model/collective/rounds.hpp"

#include <cmath>

#include "model/collective/algorithms.hpp"

namespace moesim {
namespace {

using Kind = CollectiveKind;
using Algorithm = CollectiveAlgorithm;

constexpr CollectiveMethod kTable[] = {
    {Kind::all_reduce, Algorithm::ring, build_ring, time_of_ring},
    {Kind::all_reduce, Algorithm::tree, build_tree, time_of_tree},
    {Kind::all_reduce, Algorithm::hierarchical, build_hierarchical, time_of_hierarchical},
    {Kind::reduce_scatter, Algorithm::ring, build_ring, time_of_ring},
    {Kind::reduce_scatter, Algorithm::hierarchical, build_hierarchical, time_of_hierarchical},
    {Kind::all_gather, Algorithm::ring, build_ring, time_of_ring},
    {Kind::all_gather, Algorithm::hierarchical, build_hierarchical, time_of_hierarchical},
    {Kind::broadcast, Algorithm::tree, build_tree, time_of_tree},
    {Kind::broadcast, Algorithm::hierarchical, build_hierarchical, time_of_hierarchical},
    {Kind::all_to_all, Algorithm::pairwise, build_pairwise, time_of_pairwise},
    {Kind::all_to_all, Algorithm::hierarchical, build_hierarchical, time_of_hierarchical},
    {Kind::all_to_all, Algorithm::direct, build_direct, time_of_direct},
    {Kind::send, Algorithm::direct, build_direct, time_of_direct},
};
constexpr const char* kKindNames[] = {
    "all_reduce", "reduce_scatter", "all_gather", "broadcast", "all_to_all", "send"};
constexpr const char* kAlgorithmNames[] = {"ring", "tree", "hierarchical", "pairwise", "direct"};

// Above these a collective is no longer a matter of seconds and a gigabyte; an all-to-all by pairs
// reaches the second with 4096 ranks.
constexpr std::int64_t kMostRanks = 1 << 20;
constexpr std::int64_t kMostMessages = 1 << 24;

std::string name_of(Kind kind, Algorithm algorithm) {
  return std::string(kKindNames[static_cast<std::size_t>(kind)]) + " by " +
         kAlgorithmNames[static_cast<std::size_t>(algorithm)];
}

const CollectiveMethod* find_method(const CollectiveSpec& spec) {
  for (const CollectiveMethod& method : kTable)
    if (method.kind == spec.kind && method.algorithm == spec.algorithm) return &method;
  return nullptr;
}

// At most so many transfers does build_collective make.
std::int64_t num_messages(const CollectiveSpec& spec) {
  const std::int64_t n = spec.group.ranks, g = spec.group.ranks_per_node,
                     m = spec.group.num_nodes();
  switch (spec.algorithm) {
    case Algorithm::ring: return 2 * n * (m == 1 ? 1 : g);
    case Algorithm::tree: return 2 * n;
    case Algorithm::hierarchical: return n * (g + m);
    case Algorithm::pairwise:
    case Algorithm::direct: break;
  }
  return n * (n - 1);
}

}  // namespace

std::string collective_refusal(const CollectiveSpec& spec) {
  if (find_method(spec) == nullptr) {
    std::string known;
    for (const CollectiveMethod& method : kTable)
      known += (known.empty() ? "" : ", ") + name_of(method.kind, method.algorithm);
    return name_of(spec.kind, spec.algorithm) + " is not known; known: " + known;
  }
  const auto number = [](std::int64_t n) { return std::to_string(n); };
  const std::int64_t n = spec.group.ranks, g = spec.group.ranks_per_node;
  if (!(spec.bytes >= Bytes()) || !std::isfinite(spec.bytes.in(B)))
    return "expected a size of 0 bytes or more";
  if (n < 1 || n > kMostRanks)
    return "expected 1 to " + number(kMostRanks) + " ranks, found " + number(n);
  if (g < 1) return "expected at least 1 rank per node, found " + number(g);
  if (n % g != 0) return number(n) + " ranks do not fill nodes of " + number(g);
  if (spec.kind == Kind::send && n != 2) return "a send has 2 ranks, found " + number(n);
  if (num_messages(spec) > kMostMessages)
    return name_of(spec.kind, spec.algorithm) + " of " + number(n) + " ranks has " +
           number(num_messages(spec)) + " messages; at most " + number(kMostMessages) +
           " are simulated";
  return "";
}

Collective build_collective(const CollectiveSpec& spec) {
  ENSURE(collective_refusal(spec).empty());
  return find_method(spec)->build(spec);
}

Seconds collective_time(const CollectiveSpec& spec, const CollectiveLinks& links) {
  ENSURE(collective_refusal(spec).empty());
  return find_method(spec)->time(spec, links);
}

SizeRegime regime_of(const std::vector<SizeRegime>& regimes, Bytes message) {
  for (const SizeRegime& regime : regimes)
    if (message <= regime.up_to) return regime;
  return regimes.empty() ? SizeRegime{} : regimes.back();
}

CollectiveLinks collective_links(const ClusterSpec& cluster, const LinkRates& links) {
  return {{cluster.nvlink_latency, links.nvlink, {}}, {cluster.nic_latency, links.nic, {}}};
}

Seconds port_time(const LinkModel& link, Bytes message, std::int64_t count) {
  if (count == 0) return Seconds();
  const SizeRegime regime = regime_of(link.regimes, message);
  return link.latency + regime.overhead +
         static_cast<double>(count) * message / (regime.efficiency * link.rate);
}

Collective without_rounds(const CollectiveSpec& spec, std::int64_t num_chunks) {
  return {spec, num_chunks, spec.bytes / static_cast<double>(num_chunks), {}};
}

Transfer part_for(const Collective& all_to_all, std::int64_t source, std::int64_t destination) {
  return {static_cast<std::int32_t>(source),
          static_cast<std::int32_t>(destination),
          {source * all_to_all.spec.group.ranks + destination, 1, 1},
          0};
}

void add_round(Collective& collective, Round round) {
  if (!round.transfers.empty()) collective.rounds.push_back(std::move(round));
}

void append_ring(Round& round, std::span<const RingStop> stops) {
  const std::size_t n = stops.size(), base = round.transfers.size();
  if (n < 2) return;
  for (std::size_t p = 0; p < n; ++p) {
    const std::size_t before = (p + n - 1) % n;
    // A sum starts one rank behind the rank it is for and reaches it after n - 1 hops.
    round.transfers.push_back({stops[p].rank,
                               stops[(p + 1) % n].rank,
                               stops[round.reduces ? before : p].chunks,
                               static_cast<std::int32_t>(base + before)});
  }
}

std::int64_t tree_depth(std::int64_t ranks) {
  std::int64_t depth = 0;
  while ((std::int64_t{1} << depth) < ranks) ++depth;
  return depth;
}

void append_tree_level(Round& round,
                       std::span<const std::int32_t> ranks,
                       std::int64_t level,
                       const Chunks& chunks) {
  const auto n = static_cast<std::int64_t>(ranks.size());
  const std::int64_t distance = std::int64_t{1} << (tree_depth(n) - 1 - level);
  for (std::int64_t i = 0; i + distance < n; i += 2 * distance) {
    const std::int32_t parent = ranks[static_cast<std::size_t>(i)],
                       child = ranks[static_cast<std::size_t>(i + distance)];
    round.transfers.push_back(
        {round.reduces ? child : parent, round.reduces ? parent : child, chunks, 0});
  }
}

}  // namespace moesim
