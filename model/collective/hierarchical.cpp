// Two levels: rings inside the nodes, and between nodes one ring (or tree) for each local index,
// its rail, so that every NIC of a node works on its own 1/g of the buffer S. n ranks, m nodes of
// g:
//   reduce-scatter  in the node, then on the rails; rank (node, local) keeps part node * g + local
//     t = (g - 1) (a_nvlink + S / g / nvlink) + (m - 1) (a_nic + S / n / nic)
//   all-gather      the mirror image, the same time; all-reduce: both
//   broadcast       rank 0 hands 1/g of S to each rank of its node, which sends it down a binomial
//                   tree on its rail; then all-gather in the nodes (van de Geijn's scheme of
//                   scatter and all-gather, Thakur et al., IJHPCA 19(1), 2005, cut at the node)
//     t = (a_nvlink + (g - 1) S / g / nvlink) + ceil(log2 m) (a_nic + S / g / nic)
//         + (g - 1) (a_nvlink + S / g / nvlink)
//   all-to-all      what is for local index l of any node goes to the node's own rank l first, then
//                   over the rail: messages of S / g and S / m instead of S / n
//     t = (g - 1) (a_nvlink + S / g / nvlink) + (m - 1) (a_nic + S / m / nic)
// A rank sends (g - 1)/g of S over NVLink and (m - 1)/n of S over its NIC for a reduce-scatter:
// together (n - 1)/n, no more than a ring (Patarasuk and Yuan, J. Parallel Distrib. Comput. 69,
// 2009: nothing can be less), with m + g - 2 latencies instead of n - 1. ring_time
// (collective.hpp) has the same latencies, but lets the two levels overlap.
#include "model/collective/algorithms.hpp"

namespace moesim {
namespace {

enum class Level { inside_nodes, rails };

// One round of every ring of a level, (ring length - 1) times. Chunk c is rank c's part.
Round rings(const RankGroup& group, Level level, bool reduces) {
  const std::int64_t g = group.ranks_per_node, m = group.num_nodes();
  const bool inside = level == Level::inside_nodes;
  Round round{{}, (inside ? g : m) - 1, reduces};
  std::vector<RingStop> stops;
  for (std::int64_t ring = 0; ring < (inside ? m : g); ++ring) {
    stops.clear();
    for (std::int64_t stop = 0; stop < (inside ? g : m); ++stop) {
      const std::int64_t rank = inside ? ring * g + stop : stop * g + ring;
      // Inside a node a rank stands for its whole rail.
      stops.push_back(
          {static_cast<std::int32_t>(rank), inside ? Chunks{stop, m, g} : Chunks{rank, 1, 1}});
    }
    append_ring(round, stops);
  }
  return round;
}

void add_broadcast(Collective& collective) {
  const std::int64_t g = collective.spec.group.ranks_per_node,
                     m = collective.spec.group.num_nodes();
  Round scatter;
  for (std::int64_t local = 1; local < g; ++local)
    scatter.transfers.push_back({0, static_cast<std::int32_t>(local), {local, m, g}, 0});
  add_round(collective, std::move(scatter));
  std::vector<std::int32_t> rail(static_cast<std::size_t>(m));
  for (std::int64_t level = 0; level < tree_depth(m); ++level) {
    Round round;
    for (std::int64_t local = 0; local < g; ++local) {
      for (std::int64_t node = 0; node < m; ++node)
        rail[static_cast<std::size_t>(node)] = static_cast<std::int32_t>(node * g + local);
      append_tree_level(round, rail, level, {local, m, g});
    }
    add_round(collective, std::move(round));
  }
  // Rank 0 has it all already; its node's ring takes no longer than the others.
  add_round(collective, rings(collective.spec.group, Level::inside_nodes, false));
}

void add_all_to_all(Collective& collective) {
  const std::int64_t n = collective.spec.group.ranks, g = collective.spec.group.ranks_per_node,
                     m = collective.spec.group.num_nodes();
  for (std::int64_t shift = 1; shift < g; ++shift) {
    Round round;
    for (std::int64_t source = 0; source < n; ++source) {
      const std::int64_t local = (source % g + shift) % g;
      round.transfers.push_back({static_cast<std::int32_t>(source),
                                 static_cast<std::int32_t>(source / g * g + local),
                                 {source * n + local, m, g},
                                 0});
    }
    add_round(collective, std::move(round));
  }
  for (std::int64_t shift = 1; shift < m; ++shift) {
    Round round;
    for (std::int64_t source = 0; source < n; ++source) {
      const std::int64_t destination = (source / g + shift) % m * g + source % g;
      // From every rank of the source's node.
      round.transfers.push_back({static_cast<std::int32_t>(source),
                                 static_cast<std::int32_t>(destination),
                                 {source / g * g * n + destination, g, n},
                                 0});
    }
    add_round(collective, std::move(round));
  }
}

}  // namespace

Collective build_hierarchical(const CollectiveSpec& spec) {
  Collective collective = without_rounds(spec, spec.group.ranks);
  if (spec.kind == CollectiveKind::broadcast) {
    add_broadcast(collective);
    return collective;
  }
  if (spec.kind == CollectiveKind::all_to_all) {
    collective.num_chunks = spec.group.ranks * spec.group.ranks;
    add_all_to_all(collective);
    return collective;
  }
  if (spec.kind != CollectiveKind::all_gather) {
    add_round(collective, rings(spec.group, Level::inside_nodes, true));
    add_round(collective, rings(spec.group, Level::rails, true));
  }
  if (spec.kind != CollectiveKind::reduce_scatter) {
    add_round(collective, rings(spec.group, Level::rails, false));
    add_round(collective, rings(spec.group, Level::inside_nodes, false));
  }
  return collective;
}

Seconds time_of_hierarchical(const CollectiveSpec& spec, const CollectiveLinks& links) {
  const std::int64_t g = spec.group.ranks_per_node, m = spec.group.num_nodes();
  const Bytes rail_share = spec.bytes / static_cast<double>(g);
  const Seconds in_nodes = static_cast<double>(g - 1) * port_time(links.nvlink, rail_share);
  if (spec.kind == CollectiveKind::broadcast)
    return port_time(links.nvlink, rail_share, g - 1) +
           static_cast<double>(tree_depth(m)) * port_time(links.nic, rail_share) + in_nodes;
  const Bytes message = spec.kind == CollectiveKind::all_to_all
                            ? spec.bytes / static_cast<double>(m)
                            : spec.bytes / static_cast<double>(spec.group.ranks);
  const Seconds once = in_nodes + static_cast<double>(m - 1) * port_time(links.nic, message);
  return (spec.kind == CollectiveKind::all_reduce ? 2.0 : 1.0) * once;
}

}  // namespace moesim
