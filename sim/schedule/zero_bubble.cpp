#include "sim/schedule/zero_bubble.hpp"

#include <algorithm>

namespace moesim {

std::vector<ScheduleStep> zero_bubble_list(const PipelineRun& run,
                                           std::int64_t rank,
                                           std::int64_t turns) {
  const std::int64_t num_microbatches = run.num_microbatches,
                     warmup = std::min(turns * (run.pp - 1 - rank), num_microbatches),
                     put_off = turns * rank;
  std::vector<ScheduleStep> list;
  std::int64_t weights = 0;  // W steps so far
  auto chunk = [](std::int64_t mb) { return Chunk{0, static_cast<std::int32_t>(mb)}; };
  for (std::int64_t mb = 0; mb < warmup; ++mb) list.push_back({StepKind::forward, chunk(mb), {}});
  for (std::int64_t mb = 0; mb < num_microbatches; ++mb) {
    const bool drains = mb + warmup >= num_microbatches;
    if (!drains) list.push_back({StepKind::forward, chunk(mb + warmup), {}});
    list.push_back({StepKind::backward_input, {}, chunk(mb)});
    // While it drains, a rank waits for each input gradient anyway: it runs any W it has.
    if (drains || mb + 1 - weights > put_off)
      list.push_back({StepKind::weight, {}, chunk(weights++)});
  }
  while (weights < num_microbatches) list.push_back({StepKind::weight, {}, chunk(weights++)});
  return list;
}

}  // namespace moesim
