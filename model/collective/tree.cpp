// A binomial tree over the first ranks of the nodes, and one inside every node (Thakur,
// Rabenseifner and Gropp, "Optimization of Collective Communication Operations in MPICH", IJHPCA
// 19(1), 2005, on broadcast). With m nodes of g ranks, every level sends the whole buffer S once:
//   broadcast   ceil(log2 m) (a_nic + S / nic) + ceil(log2 g) (a_nvlink + S / nvlink)
//   all-reduce  the same towards the root, adding, and back: twice that
// A rank sends at most once a level, the root at every level of a broadcast: (ceil(log2 m) +
// ceil(log2 g)) S, where S would do. Worth it when latency counts more than bytes. Of a node's NICs
// only that of the first rank is used.
#include <numeric>

#include "model/collective/algorithms.hpp"

namespace moesim {
namespace {

Round level_between_nodes(const RankGroup& group, std::int64_t level, bool reduces) {
  std::vector<std::int32_t> first_ranks;
  for (std::int64_t node = 0; node < group.num_nodes(); ++node)
    first_ranks.push_back(static_cast<std::int32_t>(node * group.ranks_per_node));
  Round round{{}, 1, reduces};
  append_tree_level(round, first_ranks, level, Chunks{});
  return round;
}

Round level_inside_nodes(const RankGroup& group, std::int64_t level, bool reduces) {
  std::vector<std::int32_t> ranks(static_cast<std::size_t>(group.ranks_per_node));
  Round round{{}, 1, reduces};
  for (std::int64_t node = 0; node < group.num_nodes(); ++node) {
    std::iota(ranks.begin(), ranks.end(), static_cast<std::int32_t>(node * group.ranks_per_node));
    append_tree_level(round, ranks, level, Chunks{});
  }
  return round;
}

}  // namespace

Collective build_tree(const CollectiveSpec& spec) {
  Collective collective = without_rounds(spec, 1);
  const std::int64_t levels_between = tree_depth(spec.group.num_nodes()),
                     levels_inside = tree_depth(spec.group.ranks_per_node);
  if (spec.kind == CollectiveKind::all_reduce) {
    for (std::int64_t level = levels_inside - 1; level >= 0; --level)
      add_round(collective, level_inside_nodes(spec.group, level, true));
    for (std::int64_t level = levels_between - 1; level >= 0; --level)
      add_round(collective, level_between_nodes(spec.group, level, true));
  }
  for (std::int64_t level = 0; level < levels_between; ++level)
    add_round(collective, level_between_nodes(spec.group, level, false));
  for (std::int64_t level = 0; level < levels_inside; ++level)
    add_round(collective, level_inside_nodes(spec.group, level, false));
  return collective;
}

Seconds time_of_tree(const CollectiveSpec& spec, const CollectiveLinks& links) {
  const auto between = static_cast<double>(tree_depth(spec.group.num_nodes())),
             inside = static_cast<double>(tree_depth(spec.group.ranks_per_node));
  const Seconds down =
      between * port_time(links.nic, spec.bytes) + inside * port_time(links.nvlink, spec.bytes);
  return (spec.kind == CollectiveKind::all_reduce ? 2.0 : 1.0) * down;
}

}  // namespace moesim
