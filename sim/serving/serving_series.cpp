#include "sim/serving/serving_series.hpp"

#include <algorithm>

namespace moesim {
namespace {

// As many as a chart of a screen's width shows apart.
constexpr std::size_t kMostIntervals = 512;

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

PoolPoint pool_point(const PoolSums& from,
                     const PoolSums& to,
                     double ticks,
                     const UnitCapacity& capacity) {
  PoolPoint p;
  p.units_up = (to.up_ticks - from.up_ticks) / ticks;
  p.units_provisioned = (to.provisioned_ticks - from.provisioned_ticks) / ticks;
  p.busy_units = (to.busy_ticks - from.busy_ticks) / ticks;
  p.running = (to.running_ticks - from.running_ticks) / ticks;
  p.waiting = (to.waiting_ticks - from.waiting_ticks) / ticks;
  const double page_ticks = to.page_ticks - from.page_ticks;
  p.kv_share = share(page_ticks, (to.up_ticks - from.up_ticks) * capacity.pages);
  p.prompt_tokens = to.prompt_tokens - from.prompt_tokens;
  p.cached_tokens = to.cached_tokens - from.cached_tokens;
  p.output_tokens = to.output_tokens - from.output_tokens;
  p.fewest_units = std::max(
      {share(static_cast<double>(p.prompt_tokens) / ticks, capacity.prompt_tokens_per_tick),
       share(p.running, capacity.places),
       share(page_ticks / ticks, capacity.pages)});
  return p;
}

}  // namespace

ServingSeries::ServingSeries(std::optional<Tick> interval, std::size_t num_pools)
    : grows_(!interval), interval_(interval.value_or(to_tick(1 * s))) {
  ENSURE(interval_ > 0);
  samples_.push_back({});
  samples_.back().sums.pools.resize(num_pools);
}

void ServingSeries::record(const ClusterSums& sums) {
  end_ += interval_;
  samples_.push_back({end_, sums});
  if (!grows_ || samples_.size() <= kMostIntervals) return;
  // Every second one, the start and the last included: kMostIntervals is even.
  std::size_t kept = 0;
  for (std::size_t i = 0; i < samples_.size(); i += 2) std::swap(samples_[kept++], samples_[i]);
  samples_.resize(kept);
  interval_ *= 2;
  end_ = samples_.back().at;
}

std::vector<SeriesPoint> ServingSeries::finish(Tick end,
                                               const ClusterSums& sums,
                                               const std::vector<UnitCapacity>& capacities) {
  ENSURE(end >= end_);
  if (end > end_) samples_.push_back({end, sums});
  std::vector<SeriesPoint> points;
  for (std::size_t i = 1; i < samples_.size(); ++i) {
    const Sample &from = samples_[i - 1], &to = samples_[i];
    SeriesPoint point;
    point.start = from.at;
    point.length = to.at - from.at;
    const auto ticks = static_cast<double>(point.length);
    point.arrivals = to.sums.arrivals - from.sums.arrivals;
    point.served = to.sums.served - from.sums.served;
    point.refused = to.sums.refused - from.sums.refused;
    point.unrouted = (to.sums.unrouted_ticks - from.sums.unrouted_ticks) / ticks;
    point.unplaced = (to.sums.unplaced_ticks - from.sums.unplaced_ticks) / ticks;
    for (std::size_t p = 0; p < capacities.size(); ++p)
      point.pools.push_back(pool_point(from.sums.pools[p], to.sums.pools[p], ticks, capacities[p]));
    points.push_back(std::move(point));
  }
  return points;
}

}  // namespace moesim
