// One forward chunk overlapped with one backward chunk on a single stage: what the public
// DeepSeek-V3 training trace shows.
#include "sim/schedule/schedule.hpp"

namespace moesim {
namespace {

std::vector<ScheduleStep> steps(std::int64_t, std::int64_t, std::int64_t) {
  return {{StepKind::forward_backward, {0, 0}, {1, 0}}};
}
std::string refusal(std::int64_t, std::int64_t num_microbatches) {
  return num_microbatches == 2
             ? ""
             : "an overlapped pair is two microbatches, found " + std::to_string(num_microbatches);
}

}  // namespace

extern const Schedule kOverlappedPair;
const Schedule kOverlappedPair = {ScheduleKind::overlapped_pair, steps, refusal, 2};

}  // namespace moesim
