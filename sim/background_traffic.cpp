#include "sim/background_traffic.hpp"

#include <algorithm>

namespace moesim {

void BackgroundTraffic::settle(Tick now) {
  ENSURE(now >= free_);
  const Tick all = all_due();
  if (all <= now) emptied_ = all;
  done_ = std::min(total_, done_ + shared_ + (now - free_));
  since_ = free_ = now;
  shared_ = 0;
}

BackgroundTraffic::Mark BackgroundTraffic::add(Tick now, Tick duration) {
  if (now > free_) settle(now);
  fresh_ = now == fresh_at_ ? fresh_ + duration : duration;
  fresh_at_ = now;
  total_ += duration;
  return Mark{total_};
}

Tick BackgroundTraffic::operation(Tick now, Tick alone) {
  settle(now);
  const Tick waiting = total_ - done_ - (fresh_at_ == now ? fresh_ : 0);
  shared_ = std::min(waiting, alone);
  free_ = now + alone + shared_;
  return alone + shared_;
}

Tick BackgroundTraffic::due(Mark mark) const {
  const Tick left = static_cast<Tick>(mark) - done_;
  if (left <= 0) return since_;
  if (left <= shared_) return since_ + 2 * left;
  return free_ + left - shared_;
}

}  // namespace moesim
