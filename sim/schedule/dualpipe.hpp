// The list of steps that DualPipe and DualPipeV share: half of a DualPipe, cut where its two
// directions meet, is a DualPipeV.
#pragma once

#include <array>
#include <vector>

#include "sim/schedule/schedule.hpp"

namespace moesim {

// One of the `half` ranks of a half, `from_end` ranks from where "near" microbatches enter it;
// "far" ones come back from the middle. `num_microbatches`: of either kind. parts: of near and of
// far chunks on this rank.
struct HalfPipeRank {
  std::int64_t half = 1, from_end = 0, num_microbatches = 2;
  std::array<std::int32_t, 2> parts = {0, 1};
};
std::vector<ScheduleStep> half_pipe_list(const HalfPipeRank& rank);

}  // namespace moesim
