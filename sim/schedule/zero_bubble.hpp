// What the handcrafted zero-bubble schedules ZB-H1 and ZB-H2 share (Qi et al., ICLR 2024,
// arXiv 2401.10241, section 2): 1F1B with the backward pass split into an input gradient and a
// weight gradient W. The input gradients travel up sooner, and the W of the ranks at the end, put
// off, fill the time in which 1F1B drains.
#pragma once

#include <vector>

#include "sim/schedule/schedule.hpp"

namespace moesim {

// `turns`: forwards a rank warms up with for each rank after it, and W it puts off for each rank
// before it. As many chunks are then alive on every rank: turns x (pp - 1) + 1.
std::vector<ScheduleStep> zero_bubble_list(const PipelineRun& run,
                                           std::int64_t rank,
                                           std::int64_t turns);

}  // namespace moesim
