// Sentinels: a few calls that are timed again and again while a run goes on. Where one has moved,
// the device was not the same all along (clocks, temperature, a neighbour), and what was measured
// in between is flagged `drift`. They stay prepared for the whole run, so nothing but the device
// can change between two looks.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/measure_plan.hpp"
#include "calibrate/point.hpp"

namespace moesim {

inline constexpr double kDriftLimit = 0.03;         // of a sentinel's first time
inline constexpr Seconds kSentinelPeriod = 60 * s;  // of the device's clock

// Five calls that each lean on something else, as far as the plan has their operations; the rest
// are the plan's first calls.
std::vector<PlannedCall> choose_sentinels(const MeasuringPlan& plan, const Device& device);

class Sentinels {
 public:
  // `first_times` by call_key: from an earlier part of the run.
  Sentinels(std::vector<PlannedCall> calls, std::map<std::string, Seconds> first_times);

  // Times all; the points to keep, flagged `sentinel`.
  std::vector<Point> measure(Device& device, std::uint64_t seed);
  // What the last measuring found to have moved, in words.
  const std::optional<std::string>& moved() const { return moved_; }
  Seconds cost() const { return cost_; }  // of the last measuring
  bool is_due(Device& device) const { return device.clock() - last_ >= kSentinelPeriod; }
  const std::vector<PlannedCall>& calls() const { return calls_; }
  void drop(const Case& of);  // an operation whose kernel is wrong; before the first measuring

 private:
  std::vector<PlannedCall> calls_;
  std::vector<std::unique_ptr<PreparedCall>> prepared_;  // of calls_, once measured
  std::map<std::string, Seconds> first_times_;
  std::optional<std::string> moved_;
  Seconds last_, cost_;
};

}  // namespace moesim
