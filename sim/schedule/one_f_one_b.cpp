// 1F1B (PipeDream-flush; Narayanan et al., SC'21, section 2.2): pp - 1 - rank warm-up forwards,
// then one forward and one backward in turn, then the remaining backwards. Bubble (pp - 1)(F + B);
// a rank holds pp - rank chunks at most.
//
// With overlap_expert_comm the turns are pairs of a forward and a backward. A pair takes as long in
// either direction, so a microbatch needs two turns a rank to go down and come back: a rank warms
// up with 2 (pp - 1 - rank) + 1 forwards (one more than fill the turns, else the last rank's pair
// would wait for its own forward half) and holds 2 (pp - rank) chunks, twice as many. The step
// takes pp (F + B) + (microbatches - 1) F&B: the last rank's first forward and last backward are
// alone.
#include <algorithm>

#include "sim/schedule/schedule.hpp"

namespace moesim {
namespace {

std::vector<ScheduleStep> steps(const PipelineRun& run, std::int64_t rank) {
  std::vector<ScheduleStep> list;
  const std::int64_t after = run.pp - 1 - rank, num_microbatches = run.num_microbatches,
                     warmup = std::min(run.overlap ? 2 * after + 1 : after, num_microbatches);
  auto chunk = [](std::int64_t mb) { return Chunk{0, static_cast<std::int32_t>(mb)}; };
  for (std::int64_t mb = 0; mb < warmup; ++mb) list.push_back({StepKind::forward, chunk(mb), {}});
  for (std::int64_t mb = warmup; mb < num_microbatches; ++mb) {
    if (run.overlap) {
      list.push_back({StepKind::forward_backward, chunk(mb), chunk(mb - warmup)});
    } else {
      list.push_back({StepKind::forward, chunk(mb), {}});
      list.push_back({StepKind::backward, {}, chunk(mb - warmup)});
    }
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
