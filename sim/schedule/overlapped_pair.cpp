// One forward chunk overlapped with one backward chunk on a single stage: what the public
// DeepSeek-V3 training trace shows.
#include "sim/schedule/schedule.hpp"

namespace moesim {
namespace {

std::vector<ScheduleStep> steps(const PipelineRun&, std::int64_t) {
  return {{StepKind::forward_backward, {0, 0}, {1, 0}}};
}
std::string refusal(const PipelineRun& run) {
  return run.num_microbatches == 2 ? ""
                                   : "an overlapped pair is two microbatches, found " +
                                         std::to_string(run.num_microbatches);
}

}  // namespace

extern const Schedule kOverlappedPair;
const Schedule kOverlappedPair = {ScheduleKind::overlapped_pair, steps, refusal};

}  // namespace moesim
