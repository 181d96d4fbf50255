// Objectives of a whole run, as people write them:
//   "p99_ttft<2s, p99_tpot<50ms, mean_e2e<30s, goodput>0.95"
// A bound is a metric, <, <=, > or >=, and a value. Metrics:
//   [statistic_]latency  latency: ttft, tpot, itl, e2e (e2el), queue; statistic: mean, median, min,
//                        max, pN (p99, p99.9); the value has a unit of time. vLLM's spelling with _ms
//                        behind it is taken too ("p99_ttft_ms<2000"), its values without a unit.
//   goodput              share of requests that keep their class's bounds
//   refused              share of requests refused for memory or a full queue, or lost
//   request_throughput, output_throughput, total_throughput, request_goodput   per second
//
// A refused request has no latency; a user would call it infinite. So a bound from above on pN does
// not hold when more than 1 - N/100 of the requests were refused, nor any bound when none was
// served. Means are of served requests.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/serving/serving_metrics.hpp"

namespace moesim {

enum class SloMetric : std::uint8_t {
  ttft,
  tpot,
  itl,
  e2e,
  queue,
  goodput,
  refused,
  request_throughput,
  output_throughput,
  total_throughput,
  request_goodput
};
enum class SloStatistic : std::uint8_t { none, mean, median, min, max, percentile };

struct SloBound {
  std::string text;  // as written
  SloMetric metric = SloMetric::ttft;
  SloStatistic statistic = SloStatistic::none;
  double percentile = 0;
  bool is_upper = true, is_strict = true;  // < or <=; > or >=
  double limit = 0;                        // seconds for latencies
};

// InputError names the place in the text: `--slo: at "tftt" (column 5): ...`.
std::vector<SloBound> parse_slo(const std::string& text, const std::string& place = "--slo");

// Adds those that the bounds ask for; percentiles are measured only when asked for.
void add_percentiles(MetricsSettings& settings, const std::vector<SloBound>& bounds);

struct SloCheck {
  SloBound bound;
  double value = 0;
  // How much room is left, as a share of the limit; negative when it does not hold.
  double margin = 0;
  bool holds = false;
  bool by_refusal = false;  // it does not hold because of refused requests
};

struct SloResult {
  std::vector<SloCheck> checks;
  bool holds = true;
  std::size_t binding = 0;  // the one with the least margin
};

// `bounds` may not be empty.
SloResult check(const std::vector<SloBound>& bounds, const ServingMetrics& metrics);

}  // namespace moesim
