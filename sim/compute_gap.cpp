#include "sim/compute_gap.hpp"

#include <algorithm>

namespace moesim {
namespace {

Tick overlap_of(Tick a0, Tick a1, Tick b0, Tick b1) {
  return std::max<Tick>(0, std::min(a1, b1) - std::max(a0, b0));
}

}  // namespace

void account_gap(const ComputeGap& gap, RankTimes& times) {
  if (gap.from == gap.to) return;
  if (gap.between_steps)
    times.by_phase[static_cast<std::size_t>(SchedulePhase::bubble)] += gap.to - gap.from;
  Tick left = gap.to - gap.from;
  auto give = [&](Category c, Tick t) {
    times.by_category[static_cast<std::size_t>(c)] += t;
    left -= t;
  };
  give(Category::exposed_comm, gap.to - gap.held_from);
  const Tick from = gap.from, to = gap.held_from;
  if (gap.between_steps) {  // the message that was missing travelled for part of the gap
    give(Category::exposed_comm, overlap_of(from, to, gap.message_start, gap.message_end));
  } else {
    const CommRecord& c = gap.last_comm;
    give(Category::exposed_comm, overlap_of(from, to, c.start, c.end));
    give(Category::peer_wait, overlap_of(from, to, c.arrive, c.start));
    give(Category::exposed_comm,
         overlap_of(from, to, 0, c.previous_end));  // the stream was busy with an earlier transfer
  }
  give(Category::bubble, left);
}

}  // namespace moesim
