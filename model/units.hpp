// Quantities with their dimension in the type. A number gets in or out only by naming a unit:
//   Bytes b = 80 * GB;   double x = t.in(us);
// Only sensible operators exist: Bytes / Bandwidth is Seconds; Seconds + Bytes does not compile
// (tests/compile_fail holds the proof). GB is 10^9 and GiB is 2^30, and they are different units.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "model/errors.hpp"

namespace moesim {

template <class Dimension>
class Quantity {
 public:
  constexpr Quantity() = default;
  constexpr double in(Quantity unit) const { return value_ / unit.value_; }
  // For `constexpr Quantity<D> unit = Quantity<D>::of_base(...)` in this header only.
  static constexpr Quantity of_base(double value) { return Quantity(value); }

  constexpr Quantity operator-() const { return Quantity(-value_); }
  constexpr Quantity& operator+=(Quantity o) {
    value_ += o.value_;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity o) {
    value_ -= o.value_;
    return *this;
  }
  constexpr Quantity& operator*=(double f) {
    value_ *= f;
    return *this;
  }
  friend constexpr Quantity operator+(Quantity a, Quantity b) {
    return Quantity(a.value_ + b.value_);
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    return Quantity(a.value_ - b.value_);
  }
  friend constexpr Quantity operator*(double f, Quantity a) { return Quantity(f * a.value_); }
  friend constexpr Quantity operator*(Quantity a, double f) { return Quantity(f * a.value_); }
  friend constexpr Quantity operator/(Quantity a, double f) { return Quantity(a.value_ / f); }
  friend constexpr double operator/(Quantity a, Quantity b) { return a.value_ / b.value_; }
  friend constexpr auto operator<=>(Quantity a, Quantity b) = default;

 private:
  constexpr explicit Quantity(double value) : value_(value) {}
  double value_ = 0;
};

using Seconds = Quantity<struct TimeDimension>;
using Bytes = Quantity<struct DataDimension>;
using Flop = Quantity<struct WorkDimension>;
using Bandwidth = Quantity<struct DataRateDimension>;
using FlopRate = Quantity<struct WorkRateDimension>;
using Dollars = Quantity<struct MoneyDimension>;
using DollarRate = Quantity<struct MoneyRateDimension>;
using Power = Quantity<struct PowerDimension>;
using Energy = Quantity<struct EnergyDimension>;

inline constexpr Seconds s = Seconds::of_base(1), ms = Seconds::of_base(1e-3),
                         us = Seconds::of_base(1e-6), ns = Seconds::of_base(1e-9),
                         ps = Seconds::of_base(1e-12), minute = Seconds::of_base(60),
                         hour = Seconds::of_base(3600), day = Seconds::of_base(86400);
inline constexpr Bytes B = Bytes::of_base(1), KB = Bytes::of_base(1e3), MB = Bytes::of_base(1e6),
                       GB = Bytes::of_base(1e9), TB = Bytes::of_base(1e12),
                       KiB = Bytes::of_base(1024.0), MiB = Bytes::of_base(1048576.0),
                       GiB = Bytes::of_base(1073741824.0);
inline constexpr Flop FLOP = Flop::of_base(1), GFLOP = Flop::of_base(1e9),
                      TFLOP = Flop::of_base(1e12);
inline constexpr Bandwidth B_per_s = Bandwidth::of_base(1), GB_per_s = Bandwidth::of_base(1e9),
                           TB_per_s = Bandwidth::of_base(1e12),
                           Gbit_per_s = Bandwidth::of_base(1e9 / 8);
inline constexpr FlopRate FLOP_per_s = FlopRate::of_base(1), GFLOP_per_s = FlopRate::of_base(1e9),
                          TFLOP_per_s = FlopRate::of_base(1e12),
                          PFLOP_per_s = FlopRate::of_base(1e15);
inline constexpr Dollars USD = Dollars::of_base(1);
inline constexpr DollarRate USD_per_hour = DollarRate::of_base(1.0 / 3600);
inline constexpr Power W = Power::of_base(1), kW = Power::of_base(1e3);
inline constexpr Energy J = Energy::of_base(1);

constexpr Seconds operator/(Bytes b, Bandwidth r) { return (b.in(B) / r.in(B_per_s)) * s; }
constexpr Seconds operator/(Flop f, FlopRate r) { return (f.in(FLOP) / r.in(FLOP_per_s)) * s; }
constexpr Bandwidth operator/(Bytes b, Seconds t) { return (b.in(B) / t.in(s)) * B_per_s; }
constexpr FlopRate operator/(Flop f, Seconds t) { return (f.in(FLOP) / t.in(s)) * FLOP_per_s; }
constexpr Bytes operator*(Bandwidth r, Seconds t) { return (r.in(B_per_s)*t.in(s)) * B; }
constexpr Flop operator*(FlopRate r, Seconds t) { return (r.in(FLOP_per_s)*t.in(s)) * FLOP; }
constexpr Dollars operator*(DollarRate r, Seconds t) {
  return (r.in(USD_per_hour)*t.in(hour)) * USD;
}

constexpr Energy operator*(Power p, Seconds t) { return (p.in(W) * t.in(s)) * J; }

// Simulated time: picoseconds in int64, so ties and sums are exact; 106 days fit.
using Tick = std::int64_t;
inline Tick to_tick(Seconds t) {
  const double ticks = std::round(t.in(ps));
  ENSURE(ticks >= 0 && ticks < 9.2e18);
  return static_cast<Tick>(ticks);
}
constexpr Seconds to_seconds(Tick t) { return static_cast<double>(t) * ps; }

}  // namespace moesim
