#include <algorithm>
#include <utility>

#include "model/placement/placement.hpp"

namespace moesim {

PlacementChange change_between(const Placement& from, const Placement& to) {
  ENSURE(from.num_experts == to.num_experts && from.num_ranks == to.num_ranks &&
         from.ranks_per_node == to.ranks_per_node);
  const ExpertSlots before = slots_of_experts(from);
  PlacementChange change;
  std::vector<std::int64_t> last_rank(static_cast<std::size_t>(to.num_experts), -1);
  for (std::int64_t rank = 0; rank < to.num_ranks; ++rank) {
    std::int64_t received = 0;
    for (std::int64_t i = 0; i < to.slots_per_rank; ++i) {
      const std::int32_t e =
          to.slot_to_expert[static_cast<std::size_t>(rank * to.slots_per_rank + i)];
      if (std::exchange(last_rank[e], rank) == rank) continue;
      bool on_rank = false, on_node = false;
      for (const std::int32_t slot : before.of(e)) {
        const std::int64_t holder = from.rank_of_slot(slot);
        on_rank |= holder == rank;
        on_node |= from.node_of_rank(holder) == from.node_of_rank(rank);
      }
      if (on_rank) continue;
      ++received;
      if (on_node) ++change.replicas_from_own_node;
    }
    change.replicas_moved += received;
    change.most_received_by_a_rank = std::max(change.most_received_by_a_rank, received);
  }
  return change;
}

}  // namespace moesim
