#include "sim/serving/scaler.hpp"

#include <algorithm>
#include <cmath>

namespace moesim {

double PoolLoad::units() const { return std::max({prompt_units, request_units, page_units}); }

Scaler::Scaler(const ScalerSpec& spec) : spec_(spec) {
  if (spec.kind == ScalerKind::reactive || spec.kind == ScalerKind::predictive) {
    next_ = interval_ = to_tick(spec.interval);
    ENSURE(interval_ > 0);
  }
  window_ = 2;
  if (spec.kind == ScalerKind::predictive)
    window_ = std::max<std::size_t>(
        2, static_cast<std::size_t>(std::llround(spec.horizon / spec.interval)));
}

std::optional<Tick> Scaler::next_decision() const {
  switch (spec_.kind) {
    case ScalerKind::none: return std::nullopt;
    case ScalerKind::scheduled:
      if (change_ == spec_.schedule.size()) return std::nullopt;
      return to_tick(spec_.schedule[change_].at);
    case ScalerKind::reactive:
    case ScalerKind::predictive: return next_;
  }
  return std::nullopt;
}

double Scaler::growth() {
  const auto n = static_cast<double>(arrivals_.size());
  if (arrivals_.size() < 2) return 1;
  double mean = 0, slope = 0, spread = 0;
  for (const double a : arrivals_) mean += a / n;
  const double middle = (n - 1) / 2;
  for (std::size_t i = 0; i < arrivals_.size(); ++i) {
    const double x = static_cast<double>(i) - middle;
    slope += x * (arrivals_[i] - mean);
    spread += x * x;
  }
  slope /= spread;
  const double now = mean + slope * middle;
  if (now <= 0) return 1;
  return std::max(0.0, now + slope * (spec_.horizon / spec_.interval)) / now;
}

std::int64_t Scaler::decide(const PoolLoad& load, std::int64_t arrivals) {
  if (spec_.kind == ScalerKind::scheduled) return spec_.schedule[change_++].units;
  ENSURE(spec_.kind != ScalerKind::none);
  next_ += interval_;
  double units = load.units();
  if (spec_.kind == ScalerKind::predictive) {
    arrivals_.push_back(static_cast<double>(arrivals));
    if (arrivals_.size() > window_) arrivals_.pop_front();
    units *= growth();
  }
  // A load of exactly n full units is n units whatever the rounding of the division.
  const auto wanted = static_cast<std::int64_t>(std::ceil(units / spec_.target - 1e-9));
  return std::clamp(wanted, spec_.min_units, spec_.max_units);
}

}  // namespace moesim
