// How many units of a pool should be up. A scaler sees what a pool has to do, in units' worth of
// work, and the arrivals since it last looked; starting and draining units is the cluster's part.
//
//   reactive    work over the target, rounded up: a unit is meant to be `target` full
//   predictive  the same for the load of a `horizon` from now: the arrivals of the last horizon (at
//               least two intervals) have a straight line fitted (least squares), and the work is
//               scaled by where the line will be over where it is
//   scheduled   what the schedule says at its times
//
// Left out: hysteresis and cool-down (an interval is both).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "model/serving/serving_spec.hpp"

namespace moesim {

// A pool's work at a decision. A unit computes prompts, has places for requests and pages for their
// KV; what is shortest decides.
struct PoolLoad {
  double prompt_units = 0;   // prompt tokens computed since the last decision and those that wait,
                             // over what a unit computes in an interval
  double request_units = 0;  // requests in units or waiting for one, over places of a unit
  double page_units = 0;     // pages in use over those of a unit
  double units() const;
};

class Scaler {
 public:
  explicit Scaler(const ScalerSpec& spec);

  // When it next wants to decide; nothing when never again.
  std::optional<Tick> next_decision() const;
  // How many units it wants from now on. Call it at its next decision.
  std::int64_t decide(const PoolLoad& load, std::int64_t arrivals);

 private:
  double growth();  // load of the horizon from now over that of now

  ScalerSpec spec_;
  Tick interval_ = 0, next_ = 0;
  std::size_t change_ = 0;       // of the schedule, the next one
  std::deque<double> arrivals_;  // of the last intervals, the newest last
  std::size_t window_ = 0;
};

}  // namespace moesim
