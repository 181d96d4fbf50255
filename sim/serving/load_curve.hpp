// Latency against load: the requests of a scenario, coming faster or slower.
//
// At `speed` f the clock of arrivals runs f times as fast: rates and a diurnal day are f times as
// fast, a trace's time stamps f times as close, and what ends arrivals or measuring by time (the
// duration, the warm-up, stop_after) comes f times as early. So every point serves the same
// requests in the same order, and nothing but their distance changes. Of a closed loop the number
// of users is multiplied. Users' think time is their own.
//
// Speeds are looked at in batches that do not depend on the number of threads: around the present
// load first, then upwards until the queue grows (and downwards until one holds), then where the
// knee is. A load holds when the queue does not grow and every bound of the scenario's service
// level holds. The knee is known to lie between the largest load that held, with none below it that
// did not, and the next one looked at. It is not interpolated: what a tail does between two points
// is not a straight line.
//
// Left out: other mixes of requests, retries, more seeds than the first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/serving/run_serving.hpp"

namespace moesim {

struct LoadPoint {
  double speed = 1;  // 1: as the scenario has it
  // Offered: arrivals over the time in which they come. Where users wait for answers: served.
  double requests_per_s = 0;
  double output_tokens_per_s = 0;  // served
  double ttft_p50_s = 0, ttft_p99_s = 0, tpot_p50_s = 0, tpot_p99_s = 0;
  bool is_saturated = false, holds = false;
  std::string binding;  // the bound that is nearest or farthest past; "the queue grows"
};

struct LoadKnee {
  std::size_t holds = 0, fails = 0;  // indices into LoadCurve::points
};

struct LoadCurve {
  std::vector<LoadPoint> points;   // by speed, ascending
  std::optional<LoadKnee> knee;    // none where all loads looked at hold, or none does
  std::int64_t num_simulated = 0;  // requests of all points
};

// More requests are not served again a dozen times.
inline constexpr std::int64_t kMostRequestsForCurve = 20'000;

// The scenario with its requests `speed` times as fast.
ServingScenario at_speed(ServingScenario scenario, double speed);

// `pools` as set_up_pools makes them. The scenario has requests.
LoadCurve load_curve(const ServingScenario& scenario,
                     const std::vector<PoolSetup>& pools,
                     int num_threads);

}  // namespace moesim
