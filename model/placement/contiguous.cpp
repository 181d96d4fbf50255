// Experts in order, num_experts / num_ranks on each rank: what a checkpoint's loader does, and what
// keeps an expert group on one node.
#include <numeric>

#include "model/placement/placement.hpp"

namespace moesim {

extern const PlacementMethod kContiguous;
const PlacementMethod kContiguous{
    PlacementPolicy::contiguous,
    false,
    [](const PlacementSpec&, const PlacementProblem&) { return std::string(); },
    [](const PlacementSpec&, const PlacementProblem& problem) {
      std::vector<std::int32_t> slots(static_cast<std::size_t>(problem.num_experts));
      std::iota(slots.begin(), slots.end(), 0);
      return slots;
    }};

}  // namespace moesim
