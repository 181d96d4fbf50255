// GPipe (Huang et al., NeurIPS 2019, section 2): all forwards, then all backwards. Bubble
// (pp - 1)(F + B); every chunk of the step is alive at once. Backwards run in the order of the
// forwards here; the paper's figure has the last microbatch first, which takes the same time.
#include "sim/schedule/schedule.hpp"

namespace moesim {
namespace {

std::vector<ScheduleStep> steps(const PipelineRun& run, std::int64_t) {
  std::vector<ScheduleStep> list;
  const auto num_microbatches = static_cast<std::int32_t>(run.num_microbatches);
  for (std::int32_t mb = 0; mb < num_microbatches; ++mb)
    list.push_back({StepKind::forward, {0, mb}, {}});
  for (std::int32_t mb = 0; mb < num_microbatches; ++mb)
    list.push_back({StepKind::backward, {}, {0, mb}});
  return list;
}

std::string refusal(const PipelineRun&) { return ""; }

}  // namespace

extern const Schedule kGpipe;
const Schedule kGpipe = {ScheduleKind::gpipe, steps, refusal};

}  // namespace moesim
