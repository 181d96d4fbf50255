// Expert e on rank e modulo num_ranks: neighbours, and so the experts of a group, are spread over
// all ranks, which gives up what the node limit saves.
#include "model/placement/placement.hpp"

namespace moesim {

extern const PlacementMethod kRoundRobin;
const PlacementMethod kRoundRobin{
    PlacementPolicy::round_robin,
    false,
    [](const PlacementSpec&, const PlacementProblem&) { return std::string(); },
    [](const PlacementSpec&, const PlacementProblem& problem) {
      std::vector<std::int32_t> slots;
      slots.reserve(static_cast<std::size_t>(problem.num_experts));
      for (std::int64_t rank = 0; rank < problem.num_ranks; ++rank)
        for (std::int64_t e = rank; e < problem.num_experts; e += problem.num_ranks)
          slots.push_back(static_cast<std::int32_t>(e));
      return slots;
    }};

}  // namespace moesim
