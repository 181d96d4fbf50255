#include "sim/schedule/schedule.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace moesim {

extern const Schedule kOneFOneB, kDualPipe, kOverlappedPair;

const Schedule& schedule_of(ScheduleKind kind) {
  static const Schedule* const kTable[] = {&kOneFOneB, &kDualPipe, &kOverlappedPair};
  for (const Schedule* schedule : kTable)
    if (schedule->kind == kind) return *schedule;
  throw std::logic_error("schedule missing from the table");
}

double peak_alive(const std::vector<ScheduleStep>& steps, const std::array<double, 2>& weight) {
  double alive = 0, peak = 0;
  for (const ScheduleStep& step : steps) {
    const bool starts = step.kind == StepKind::forward || step.kind == StepKind::forward_backward;
    const bool ends = step.kind == StepKind::backward || step.kind == StepKind::weight ||
                      step.kind == StepKind::forward_backward;
    if (starts) alive += weight[static_cast<std::size_t>(step.f.direction)];
    peak = std::max(peak, alive);
    if (ends) alive -= weight[static_cast<std::size_t>(step.b.direction)];
  }
  return peak;
}

double one_f_one_b_bubble(std::int64_t pp, double f, double b) {
  return static_cast<double>(pp - 1) * (f + b);
}
double zb1p_bubble(std::int64_t pp, double f, double b, double w) {
  return static_cast<double>(pp - 1) * (f + b - 2 * w);
}
double dualpipe_bubble(std::int64_t pp, double fb, double b, double w) {
  return (static_cast<double>(pp) / 2 - 1) * (fb + b - 3 * w);
}

double list_bubble(const Schedule& schedule,
                   std::int64_t pp,
                   std::int64_t num_microbatches,
                   const ChunkDurations& d) {
  std::vector<std::vector<ScheduleStep>> lists;
  for (std::int64_t r = 0; r < pp; ++r) lists.push_back(schedule.steps(pp, r, num_microbatches));
  std::map<std::tuple<int, int, int, std::int64_t>, double>
      done;  // (backward?, direction, microbatch, stage) -> when
  std::vector<std::size_t> next(lists.size(), 0);
  std::vector<double> time(lists.size(), 0), work(lists.size(), 0);
  auto ready = [&](int backward, const Chunk& c, std::int64_t stage, double& at) {
    if (stage < 0 || stage >= pp) return true;
    const auto it = done.find({backward, c.direction, c.microbatch, stage});
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
        const std::int64_t f_stage = stage_of(pp, static_cast<std::int64_t>(r), step.f.direction),
                           b_stage = stage_of(pp, static_cast<std::int64_t>(r), step.b.direction);
        double start = time[r];
        if (has_f && !ready(0, step.f, f_stage - 1, start)) break;
        if (has_b && (!ready(0, step.b, b_stage, start) || !ready(1, step.b, b_stage + 1, start)))
          break;
        const double length = step.kind == StepKind::forward          ? d.f
                              : step.kind == StepKind::backward       ? d.b
                              : step.kind == StepKind::backward_input ? d.b - d.w
                              : step.kind == StepKind::weight         ? d.w
                                                                      : d.fb;
        time[r] = start + length;
        work[r] += length;
        if (has_f) done[{0, step.f.direction, step.f.microbatch, f_stage}] = time[r];
        if (has_b) done[{1, step.b.direction, step.b.microbatch, b_stage}] = time[r];
        ++next[r];
        moved = true;
      }
  }
  for (std::size_t r = 0; r < lists.size(); ++r)
    ENSURE(next[r] == lists[r].size());  // else the lists deadlock
  const double makespan = *std::max_element(time.begin(), time.end());
  double idle = 0;
  for (const double w : work) idle += (makespan - w) / static_cast<double>(pp);
  return idle;
}

std::int64_t stage_of(std::int64_t pp, std::int64_t rank, std::int32_t direction) {
  return direction == 0 ? rank : pp - 1 - rank;
}

}  // namespace moesim
