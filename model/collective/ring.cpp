// Reduce-scatter and all-gather. Each rank sends and receives (n-1)/n of the buffer S, the bus
// factor of nccl-tests (doc/PERFORMANCE.md), and no algorithm sends less (Patarasuk and Yuan, J.
// Parallel Distrib. Comput. 69, 2009); an all-reduce is one after the other.
//
// As rounds there are n - 1, in each of which every rank hands a chunk to the next. On one node
// that is one ring. Across m nodes of g ranks it is g rings at once, each with 1/g of the buffer
// and with its own rail in and out of every node, so that a rank sends g - 1 chunks of c = S / (n
// g) over NVLink and one over its NIC in every round:
//   t = (n - 1) max(a_nvlink + (g - 1) c / nvlink, a_nic + c / nic)
//   t = (n - 1) (a_nvlink + S / n / nvlink)                                       on one node
//
// ring_time is the ring of the optimizer step, whose steps overlap: across nodes `per_node` rings
// run at once, one through each NIC, so a node moves per_node NICs' worth and a rank is bound by
// min(nvlink, per_node * nic), with one latency per step between nodes and per step inside one. On
// one node, and with one rank a node, both forms agree (when NVLink is the faster link).
#include <algorithm>

#include "model/collective/algorithms.hpp"

namespace moesim {
namespace {

// Ring j enters node a at local index j + entry_shift(a) and leaves at the one where it enters the
// next node, so it stays on a rail. Neighbouring nodes need different shifts: 0, 1, 0, 1, ..., and
// 2 on the last of an odd number of nodes. (Two ranks a node and an odd number of nodes: there is
// no such ring; one hop changes the rail.)
std::int64_t entry_shift(std::int64_t node, std::int64_t num_nodes) {
  return num_nodes % 2 == 1 && node == num_nodes - 1 && node > 0 ? 2 : node % 2;
}

std::vector<std::int32_t> ring_order(const RankGroup& group, std::int64_t ring) {
  const std::int64_t g = group.ranks_per_node, m = group.num_nodes();
  std::vector<std::int32_t> order;
  for (std::int64_t node = 0; node < m; ++node) {
    const std::int64_t entry = (ring + entry_shift(node, m)) % g;
    std::int64_t exit = (ring + entry_shift((node + 1) % m, m)) % g;
    if (exit == entry) exit = (entry + g - 1) % g;
    for (std::int64_t i = 0; i < g; ++i) {
      const std::int64_t local = (entry + i) % g;
      if (local != exit || g == 1) order.push_back(static_cast<std::int32_t>(node * g + local));
    }
    if (g > 1) order.push_back(static_cast<std::int32_t>(node * g + exit));
  }
  return order;
}

std::int64_t num_rings(const RankGroup& group) {
  return group.num_nodes() == 1 ? 1 : group.ranks_per_node;
}

Round one_step(const RankGroup& group, bool reduces) {
  const std::int64_t rings = num_rings(group);
  Round round{{}, group.ranks - 1, reduces};
  std::vector<RingStop> stops;
  for (std::int64_t ring = 0; ring < rings; ++ring) {
    stops.clear();
    for (const std::int32_t rank : ring_order(group, ring))
      stops.push_back({rank, {rank * rings + ring, 1, 1}});
    append_ring(round, stops);
  }
  return round;
}

}  // namespace

Collective build_ring(const CollectiveSpec& spec) {
  Collective collective = without_rounds(spec, spec.group.ranks * num_rings(spec.group));
  if (spec.kind != CollectiveKind::all_gather) add_round(collective, one_step(spec.group, true));
  if (spec.kind != CollectiveKind::reduce_scatter)
    add_round(collective, one_step(spec.group, false));
  return collective;
}

Seconds time_of_ring(const CollectiveSpec& spec, const CollectiveLinks& links) {
  const std::int64_t n = spec.group.ranks, g = spec.group.ranks_per_node;
  const Bytes chunk = spec.bytes / static_cast<double>(n * num_rings(spec.group));
  const Seconds step =
      n == g ? port_time(links.nvlink, chunk)
             : std::max(port_time(links.nvlink, chunk, g - 1), port_time(links.nic, chunk));
  const double passes = spec.kind == CollectiveKind::all_reduce ? 2 : 1;
  return passes * static_cast<double>(n - 1) * step;
}

Seconds ring_time(const ClusterSpec& cluster,
                  const LinkRates& links,
                  Bytes bytes,
                  std::int64_t ranks,
                  std::int64_t per_node) {
  if (ranks <= 1) return Seconds();
  const auto n = static_cast<double>(ranks), g = static_cast<double>(per_node);
  const bool one_node = per_node >= ranks;
  const Bandwidth rate = one_node ? links.nvlink : std::min(links.nvlink, g * links.nic);
  const Seconds latency =
      one_node ? (n - 1) * cluster.nvlink_latency
               : (n / g - 1) * cluster.nic_latency + (g - 1) * cluster.nvlink_latency;
  return (n - 1) / n * bytes / rate + latency;
}

}  // namespace moesim
