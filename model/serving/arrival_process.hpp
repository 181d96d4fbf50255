// Times of arrivals of the processes that do not wait for answers (request_spec.hpp).
#pragma once

#include <cstdint>

#include "model/random.hpp"
#include "model/serving/request_spec.hpp"

namespace moesim {

// Arrivals beyond are not generated: simulated time ends at 106 days.
inline constexpr Tick kLastArrival = 9'000'000'000'000'000'000;
// `a` + `b`, at most kLastArrival; neither is negative or beyond it.
constexpr Tick later(Tick a, Tick b) { return b < kLastArrival - a ? a + b : kLastArrival; }

class ArrivalProcess {
 public:
  ArrivalProcess(const ArrivalSpec& spec, std::uint64_t seed);
  // Of the next arrival; ascending. At kLastArrival and after it, kLastArrival.
  Tick next();

  double rate_at(Tick time) const;  // diurnal: requests per second

 private:
  double exponential() { return -std::log(random_.uniform()); }
  Tick after(double seconds);  // now_ moves on
  Tick next_mmpp();
  Tick next_diurnal();
  void enter_piece();

  ArrivalSpec spec_;
  Random random_;
  Tick now_ = 0;
  std::int64_t num_constant_ = 0;
  double mean_gap_s_ = 0, shape_ = 0;
  // mmpp: the state, until when. Diurnal: between piece_begin_ and until_ the rate is within
  // [least_, most_].
  std::size_t state_ = 0;
  Tick until_ = 0, hour_ = 0;
  double least_ = 0, most_ = 0;
};

}  // namespace moesim
