// All-to-all, one partner at a time (pairwise exchange; Thakur, Rabenseifner and Gropp, IJHPCA
// 19(1), 2005, on all-to-all), here with ranks shifted by nodes and inside the node separately, so
// that a round is either inside all nodes or between them, for any numbers. With n ranks on m nodes
// of g and a buffer of n parts of S / n:
//   round (x, y), not (0, 0): local rank l of node a sends to local rank l + y of node a + x
//   t = (g - 1) (a_nvlink + S / n / nvlink) + (m - 1) g (a_nic + S / n / nic)
// Each rank sends (n - 1) / n of S, the bus factor of nccl-tests; one port is idle while the other
// works, which is what `direct` avoids.
#include "model/collective/algorithms.hpp"

namespace moesim {

Collective build_pairwise(const CollectiveSpec& spec) {
  const std::int64_t n = spec.group.ranks, g = spec.group.ranks_per_node,
                     m = spec.group.num_nodes();
  Collective collective = without_rounds(spec, n);
  collective.num_chunks = n * n;
  for (std::int64_t x = 0; x < m; ++x)
    for (std::int64_t y = x == 0 ? 1 : 0; y < g; ++y) {
      Round round;
      for (std::int64_t source = 0; source < n; ++source) {
        const std::int64_t destination = (source / g + x) % m * g + (source % g + y) % g;
        round.transfers.push_back(part_for(collective, source, destination));
      }
      add_round(collective, std::move(round));
    }
  return collective;
}

Seconds time_of_pairwise(const CollectiveSpec& spec, const CollectiveLinks& links) {
  const std::int64_t g = spec.group.ranks_per_node, m = spec.group.num_nodes();
  const Bytes part = spec.bytes / static_cast<double>(spec.group.ranks);
  return static_cast<double>(g - 1) * port_time(links.nvlink, part) +
         static_cast<double>((m - 1) * g) * port_time(links.nic, part);
}

}  // namespace moesim
