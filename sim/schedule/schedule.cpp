#include "sim/schedule/schedule.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace moesim {

extern const Schedule kGpipe, kOneFOneB, kInterleaved1F1B, kZbH1, kZbH2, kZbV, kDualPipe,
    kDualPipeV, kOverlappedPair;

const Schedule& schedule_of(ScheduleKind kind) {
  static const Schedule* const kTable[] = {&kGpipe,
                                           &kOneFOneB,
                                           &kInterleaved1F1B,
                                           &kZbH1,
                                           &kZbH2,
                                           &kZbV,
                                           &kDualPipe,
                                           &kDualPipeV,
                                           &kOverlappedPair};
  for (const Schedule* schedule : kTable)
    if (schedule->kind == kind) return *schedule;
  throw std::logic_error("schedule missing from the table");
}

std::int64_t microbatch_index(const PipelineRun& run, StageOrder order, const Chunk& chunk) {
  if (order != StageOrder::bidirectional) return chunk.microbatch;
  return chunk.part * (run.num_microbatches / 2) + chunk.microbatch;
}

double peak_alive(const std::vector<ScheduleStep>& steps, const std::vector<double>& weight) {
  double alive = 0, peak = 0;
  for (const ScheduleStep& step : steps) {
    const bool starts = step.kind == StepKind::forward || step.kind == StepKind::forward_backward;
    const bool ends = step.kind == StepKind::backward || step.kind == StepKind::weight ||
                      step.kind == StepKind::forward_backward;
    if (starts) alive += weight[static_cast<std::size_t>(step.f.part)];
    peak = std::max(peak, alive);
    if (ends) alive -= weight[static_cast<std::size_t>(step.b.part)];
  }
  return peak;
}

double one_f_one_b_bubble(std::int64_t pp, double f, double b) {
  return static_cast<double>(pp - 1) * (f + b);
}
double zb1p_bubble(std::int64_t pp, double f, double b, double w) {
  return static_cast<double>(pp - 1) * (f + b - 2 * w);
}
double zb_h2_bubble(std::int64_t pp, double f, double b, double w) {
  return static_cast<double>(pp - 1) * (f + b - 3 * w);
}
double dualpipe_bubble(std::int64_t pp, double fb, double b, double w) {
  return (static_cast<double>(pp) / 2 - 1) * (fb + b - 3 * w);
}

double list_bubble(const Schedule& schedule, const PipelineRun& run, const ChunkDurations& d) {
  const PipelineLayout layout = pipeline_layout(schedule.kind, run.pp, run.virtual_stages);
  std::vector<std::vector<ScheduleStep>> lists;
  for (std::int64_t r = 0; r < run.pp; ++r) lists.push_back(schedule.steps(run, r));
  // (backward?, microbatch over both directions, stage) -> when
  std::map<std::tuple<int, std::int64_t, std::int64_t>, double> done;
  std::vector<std::size_t> next(lists.size(), 0);
  std::vector<double> time(lists.size(), 0), work(lists.size(), 0);
  auto ready = [&](int backward, std::int64_t microbatch, std::int64_t stage, double& at) {
    if (stage < 0 || stage >= layout.num_stages()) return true;
    const auto it = done.find({backward, microbatch, stage});
    if (it == done.end()) return false;
    at = std::max(at, it->second);
    return true;
  };
  for (bool moved = true; moved;) {
    moved = false;
    for (std::size_t r = 0; r < lists.size(); ++r)
      while (next[r] < lists[r].size()) {
        const ScheduleStep& step = lists[r][next[r]];
        const bool has_f =
            step.kind == StepKind::forward || step.kind == StepKind::forward_backward;
        const bool has_b = step.kind != StepKind::forward && step.kind != StepKind::weight;
        const std::int64_t f_stage = layout.stage_of(static_cast<std::int64_t>(r), step.f.part),
                           b_stage = layout.stage_of(static_cast<std::int64_t>(r), step.b.part),
                           f_microbatch = microbatch_index(run, layout.order, step.f),
                           b_microbatch = microbatch_index(run, layout.order, step.b);
        double start = time[r];
        if (has_f && !ready(0, f_microbatch, f_stage - 1, start)) break;
        if (has_b && (!ready(0, b_microbatch, b_stage, start) ||
                      !ready(1, b_microbatch, b_stage + 1, start)))
          break;
        const double length = step.kind == StepKind::forward          ? d.f
                              : step.kind == StepKind::backward       ? d.b
                              : step.kind == StepKind::backward_input ? d.b - d.w
                              : step.kind == StepKind::weight         ? d.w
                                                                      : d.fb;
        time[r] = start + length;
        work[r] += length;
        if (has_f) done[{0, f_microbatch, f_stage}] = time[r];
        if (has_b) done[{1, b_microbatch, b_stage}] = time[r];
        ++next[r];
        moved = true;
      }
  }
  for (std::size_t r = 0; r < lists.size(); ++r)
    ENSURE(next[r] == lists[r].size());  // else the lists deadlock
  const double makespan = *std::max_element(time.begin(), time.end());
  double idle = 0;
  for (const double w : work) idle += (makespan - w) / static_cast<double>(run.pp);
  return idle;
}

}  // namespace moesim
