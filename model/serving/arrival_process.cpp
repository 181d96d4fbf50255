#include "model/serving/arrival_process.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "model/serving/length_sampler.hpp"

namespace moesim {
namespace {

constexpr std::uint64_t kArrivalStream = 0xa221;
constexpr double kTicksPerSecond = 1e12;
constexpr Tick kHour = 3'600'000'000'000'000;
constexpr int kHoursPerDay = 24;
// Of the cosine and of straight lines: in 1/60 h the rate hardly changes, so nearly every candidate
// is an arrival. Thinning makes the process exact whatever the width.
constexpr Tick kPiecesPerHour = 60;

}  // namespace

ArrivalProcess::ArrivalProcess(const ArrivalSpec& spec, std::uint64_t seed)
    : spec_(spec), random_(seed, kArrivalStream) {
  ENSURE(spec.kind != ArrivalKind::closed_loop && spec.compression > 0);
  hour_ = static_cast<Tick>(static_cast<double>(kHour) / spec.compression);
  if (spec.rate_per_s > 0) mean_gap_s_ = 1 / spec.rate_per_s;
  if (spec.kind == ArrivalKind::gamma) shape_ = 1 / (spec.cv * spec.cv);
  if (spec.kind == ArrivalKind::mmpp) {
    double all = 0;
    for (const ArrivalSpec::State& state : spec.states) all += state.mean_stay.in(s);
    double left = random_.uniform() * all;
    while (state_ + 1 < spec.states.size() && left > spec.states[state_].mean_stay.in(s)) {
      left -= spec.states[state_++].mean_stay.in(s);
    }
    until_ = after(exponential() * spec.states[state_].mean_stay.in(s));
    now_ = 0;
  }
  if (spec.kind == ArrivalKind::diurnal) enter_piece();
}

Tick ArrivalProcess::after(double seconds) {
  const double gap = seconds * kTicksPerSecond;
  now_ = gap < static_cast<double>(kLastArrival - now_)
             ? std::min(kLastArrival, now_ + static_cast<Tick>(gap + 0.5))
             : kLastArrival;
  return now_;
}

Tick ArrivalProcess::next() {
  switch (spec_.kind) {
    case ArrivalKind::poisson:
    case ArrivalKind::sessions: return after(exponential() * mean_gap_s_);
    case ArrivalKind::constant:
      // From the count, not from the last one: a gap rounded to a tick would add up.
      now_ = 0;
      return after(static_cast<double>(num_constant_++) * mean_gap_s_);
    case ArrivalKind::gamma: return after(draw_gamma(random_, shape_) * mean_gap_s_);
    case ArrivalKind::mmpp: return next_mmpp();
    case ArrivalKind::diurnal: return next_diurnal();
    case ArrivalKind::closed_loop: break;
  }
  ENSURE(false);
  return 0;
}

// A gap that would end after the state does is drawn again from there: the exponential has no
// memory.
Tick ArrivalProcess::next_mmpp() {
  for (;;) {
    const double rate = spec_.states[state_].rate_per_s;
    if (rate > 0) {
      const Tick before = now_;
      const Tick then = after(exponential() / rate);
      if (then < until_ || then == kLastArrival) return then;
      now_ = before;
    }
    if (until_ == kLastArrival) return now_ = kLastArrival;
    const Tick change = until_;
    const auto others = static_cast<double>(spec_.states.size() - 1);
    if (others > 0) {
      const auto step = static_cast<std::size_t>(random_.uniform() * others);
      state_ = (state_ + 1 + step) % spec_.states.size();
    }
    now_ = change;
    until_ = after(exponential() * spec_.states[state_].mean_stay.in(s));
    now_ = change;
  }
}

double ArrivalProcess::rate_at(Tick time) const {
  const double hours = static_cast<double>(time) / static_cast<double>(hour_) + spec_.start_hour;
  if (spec_.hourly_rates_per_s.empty()) {
    return spec_.rate_per_s * (1 + spec_.swing * std::cos(2 * std::numbers::pi / kHoursPerDay *
                                                          (hours - spec_.peak_hour)));
  }
  const double whole = std::floor(hours);
  const auto hour = static_cast<std::size_t>(std::fmod(whole, kHoursPerDay));
  const double here = spec_.hourly_rates_per_s[hour];
  if (!spec_.is_linear) return here;
  return here + (hours - whole) * (spec_.hourly_rates_per_s[(hour + 1) % kHoursPerDay] - here);
}

// Bounds of the rate on the piece that begins now. Steps change at whole hours of the day, which
// pieces must not straddle; a straight line is between its ends, except for a corner at a whole
// hour; the cosine's extremes may lie inside, so its ends are widened by the most that it can
// bulge.
void ArrivalProcess::enter_piece() {
  const auto offset = static_cast<Tick>(spec_.start_hour * static_cast<double>(hour_));
  const bool is_cosine = spec_.hourly_rates_per_s.empty();
  const Tick width = is_cosine || spec_.is_linear ? hour_ / kPiecesPerHour : hour_;
  const Tick begin = now_;
  until_ = std::min(kLastArrival, ((begin + offset) / width + 1) * width - offset);
  if (!is_cosine && !spec_.is_linear) {
    least_ = most_ = rate_at(begin + (until_ - begin) / 2);
    return;
  }
  const double a = rate_at(begin), b = rate_at(until_);
  // |second derivative| x width^2 / 8.
  const double angle = 2 * std::numbers::pi / kHoursPerDay * static_cast<double>(until_ - begin) /
                       static_cast<double>(hour_);
  const double bulge = is_cosine ? spec_.rate_per_s * spec_.swing * angle * angle / 8 : 0;
  least_ = std::max(0.0, std::min(a, b) - bulge);
  most_ = std::max(a, b) + bulge;
}

Tick ArrivalProcess::next_diurnal() {
  for (;;) {
    if (most_ > 0) {
      const Tick before = now_;
      const Tick then = after(exponential() / most_);
      if (then < until_) {
        if (least_ == most_) return then;
        const double u = random_.uniform() * most_;
        if (u < least_ || u < rate_at(then)) return then;
        continue;
      }
      now_ = before;
    }
    if (until_ >= kLastArrival) return now_ = kLastArrival;
    now_ = until_;
    enter_piece();
  }
}

}  // namespace moesim
