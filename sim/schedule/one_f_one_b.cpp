// 1F1B (PipeDream-flush; Narayanan et al., SC'21, section 2.2): pp - 1 - rank warm-up forwards,
// then one forward and one backward in turn, then the remaining backwards. Bubble (pp - 1)(F + B);
// a rank holds pp - rank chunks at most.
#include <algorithm>

#include "sim/schedule/schedule.hpp"

namespace moesim {
namespace {

std::vector<ScheduleStep> steps(const PipelineRun& run, std::int64_t rank) {
  std::vector<ScheduleStep> list;
  const std::int64_t num_microbatches = run.num_microbatches,
                     warmup = std::min(run.pp - 1 - rank, num_microbatches);
  auto chunk = [](std::int64_t mb) { return Chunk{0, static_cast<std::int32_t>(mb)}; };
  for (std::int64_t mb = 0; mb < warmup; ++mb) list.push_back({StepKind::forward, chunk(mb), {}});
  for (std::int64_t mb = warmup; mb < num_microbatches; ++mb) {
    list.push_back({StepKind::forward, chunk(mb), {}});
    list.push_back({StepKind::backward, {}, chunk(mb - warmup)});
  }
  for (std::int64_t mb = num_microbatches - warmup; mb < num_microbatches; ++mb)
    list.push_back({StepKind::backward, {}, chunk(mb)});
  return list;
}

std::string refusal(const PipelineRun&) { return ""; }

}  // namespace

extern const Schedule kOneFOneB;
const Schedule kOneFOneB = {ScheduleKind::one_f_one_b, steps, refusal};

}  // namespace moesim
