// The measuring loop. For every call of the plan: its operation's kernel is verified before its
// first call is timed; warm-ups; repeats with inputs cold and warm; median, 10th and 90th
// percentile; the device's state; and the point is in the file before the next call starts.
//
// What is wrong with a point is said in a flag of it (calibrate/point.hpp), never mended:
//   drift      a sentinel moved by more than 3 % between the ends of the minute it is from
//   throttled  the device ran below the clocks it asked for, and not because of its power limit
// An operation whose results are wrong has no points.
//
// A run is carried on from its own file: calls that are there, of the same device and plan version
// and without a flag, are not measured again.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "calibrate/device.hpp"
#include "calibrate/measure_plan.hpp"
#include "calibrate/point.hpp"

namespace moesim {

struct MeasureOptions {
  std::uint64_t seed = 1;
  std::optional<Seconds> budget;  // of the device's clock
  std::function<void(const std::string&)> progress = [](const std::string&) {};
};

// The provenance of what `device` measures.
PointRun measuring_run(Device& device, const MeasureOptions& options);

// What an interrupted run left in its file.
struct EarlierPoints {
  std::set<std::string> done;                  // call_key of points without a flag
  std::map<std::string, Seconds> first_times;  // of sentinels, by call_key
  std::size_t open_window = 0;                 // points that no sentinel was timed after
};
EarlierPoints earlier_points(const PointFile& file, const PointRun& run);

struct MeasureResult {
  std::size_t num_measured = 0, num_there = 0, num_left = 0, num_flagged = 0;
  std::map<std::string, std::string> wrong;  // by operation, what was found
  std::vector<std::string> impossible;       // calls timed below what the datasheet allows
  Seconds time;                              // of the device
  double median_spread = 0, p95_spread = 0;  // over points: half of p90 - p10, of the median
};

// Errors of the device and the file are thrown; what was measured before is in the file.
MeasureResult measure(Device& device,
                      const GpuSpec& gpu,
                      const MeasuringPlan& plan,
                      const EarlierPoints& earlier,
                      const MeasureOptions& options,
                      PointWriter& out);

// Median and percentiles (linear between neighbours), to 0.1 ns: no timer is better.
Timing summary(std::vector<Seconds> times);
Point point_of(const PlannedCall& planned);
void add_state(const DeviceState& state, Point& point);

}  // namespace moesim
