#include "sim/schedule/schedule.hpp"

namespace moesim {

extern const Schedule kOneFOneB, kDualPipe, kOverlappedPair;

const Schedule& schedule_of(ScheduleKind kind) {
  static const Schedule* const table[] = {&kOneFOneB, &kDualPipe, &kOverlappedPair};
  for (const Schedule* schedule : table)
    if (schedule->kind == kind) return *schedule;
  throw std::logic_error("schedule missing from the table");
}

double one_f_one_b_bubble(std::int64_t pp, double f, double b) { return static_cast<double>(pp - 1) * (f + b); }
double zb1p_bubble(std::int64_t pp, double f, double b, double w) { return static_cast<double>(pp - 1) * (f + b - 2 * w); }
double dualpipe_bubble(std::int64_t pp, double fb, double b, double w) { return (static_cast<double>(pp) / 2 - 1) * (fb + b - 3 * w); }

std::int64_t stage_of(std::int64_t pp, std::int64_t rank, std::int32_t direction) { return direction == 0 ? rank : pp - 1 - rank; }

}  // namespace moesim
