#include "sim/collective_study.hpp"

#include <algorithm>

#include "model/network/fabric_layout.hpp"

namespace moesim {
namespace {

Bytes busiest_nic(const Network& network, const std::vector<CollectiveCall>& calls) {
  std::vector<Bytes> carried(network.links().size());
  for (const CollectiveCall& call : calls)
    for (const Round& round : call.collective.rounds)
      for (const Transfer& t : round.transfers) {
        const NetworkPath path = network.path(call.gpus[static_cast<std::size_t>(t.source)],
                                              call.gpus[static_cast<std::size_t>(t.destination)]);
        for (std::size_t i = 0; i < path.num_links; ++i) {
          const LinkKind kind = network.links()[path.links[i]].kind;
          if (kind == LinkKind::nic_out || kind == LinkKind::nic_in)
            carried[path.links[i]] += static_cast<double>(round.repeat) * call.collective.bytes(t);
        }
      }
  return *std::max_element(carried.begin(), carried.end());
}

// doc/PERFORMANCE.md, "Summary"; a send moves its buffer once.
double bus_factor(const CollectiveSpec& spec) {
  const auto n = static_cast<double>(spec.group.ranks);
  switch (spec.kind) {
    case CollectiveKind::all_reduce: return 2 * (n - 1) / n;
    case CollectiveKind::reduce_scatter:
    case CollectiveKind::all_gather:
    case CollectiveKind::all_to_all: return (n - 1) / n;
    case CollectiveKind::broadcast:
    case CollectiveKind::send: break;
  }
  return 1;
}

}  // namespace

CollectiveMeasurement measure_collective(const Network& network,
                                         const CollectiveLinks& links,
                                         const CollectiveGroups& groups,
                                         const CollectiveSpec& spec) {
  ENSURE(!groups.gpus.empty());
  const Collective collective = build_collective(spec);
  CollectiveMeasurement m{spec, 0, collective_time(spec, links), {}, {}, {}};
  for (const Round& round : collective.rounds) m.num_rounds += round.repeat;
  std::vector<CollectiveCall> calls;
  for (const std::vector<std::int64_t>& gpus : groups.gpus)
    calls.push_back({collective, gpus, Seconds(), links.nvlink.regimes, links.nic.regimes});
  m.busiest_nic = busiest_nic(network, calls);
  const std::vector<Seconds> ends = run_collectives(network, calls);
  const auto last = std::max_element(ends.begin(), ends.end());
  m.together = m.alone = *last;
  if (calls.size() == 1) return m;
  // The others stay without rounds: ECMP hashes a call's place in the list.
  const auto slowest = static_cast<std::size_t>(last - ends.begin());
  for (std::size_t c = 0; c < calls.size(); ++c)
    if (c != slowest) calls[c].collective.rounds.clear();
  m.alone = run_collectives(network, calls)[slowest];
  return m;
}

Bandwidth algorithm_bandwidth(const CollectiveMeasurement& m) { return m.spec.bytes / m.together; }
Bandwidth bus_bandwidth(const CollectiveMeasurement& m) {
  return bus_factor(m.spec) * algorithm_bandwidth(m);
}

std::optional<RankGroup> shape_on_nodes(const std::vector<std::int64_t>& gpus,
                                        std::int64_t gpus_per_node) {
  ENSURE(!gpus.empty());
  std::vector<std::int64_t> on_node;  // of the nodes that have any
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    if (i == 0 || gpus[i] / gpus_per_node != gpus[i - 1] / gpus_per_node) on_node.push_back(0);
    ++on_node.back();
  }
  for (const std::int64_t count : on_node)
    if (count != on_node.front()) return std::nullopt;
  return RankGroup{std::ssize(gpus), on_node.front()};
}

std::string measurement_refusal(const ClusterSpec& cluster,
                                const CollectiveGroups& groups,
                                const CollectiveSpec& spec) {
  // Ours: about twenty seconds each. Under ECMP hardly two messages have the same rate, so that
  // few of them end together.
  constexpr std::int64_t kMost = std::int64_t{1} << 22, kMostHashed = std::int64_t{1} << 17;
  const bool is_hashed =
      spec.group.num_nodes() > 1 && cluster.fabric.routing == FabricRouting::ecmp;
  const std::int64_t n = spec.group.ranks, most = is_hashed ? kMostHashed : kMost;
  const std::int64_t of_a_rank =
      spec.algorithm == CollectiveAlgorithm::direct ? n - 1 : spec.group.ranks_per_node;
  const std::int64_t messages = std::ssize(groups.gpus) * n * of_a_rank;
  if (messages <= most) return "";
  return std::to_string(messages) + " messages at once; at most " + std::to_string(most) +
         " are simulated" + (is_hashed ? " under ECMP" : "");
}

}  // namespace moesim
