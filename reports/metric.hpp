// The numbers of a result document by the names that people use, and bounds on them.
//
// A metric is spelled as it stands below /metrics ("step_time_s", "ttft_s/p99"), as an RFC 6901
// pointer into the document ("/memory/0/total_bytes"), as benchmarks and --slo spell it
// ("p99_ttft", "mean_tpot", "median_e2el", "p99_ttft_ms", "goodput"), without its unit
// ("step_time"), or as the beginning or last part of a longer name. A latency without a statistic
// is its mean over requests. A spelling that fits several numbers ("mfu") is refused with their
// names.
//
// A bound is a metric, <, <=, > or >=, and a value with the metric's unit; several stand behind
// each other with commas. Whatever --slo takes (sim/serving/slo) means the same here, but for
// "refused" and the minimum and maximum of a latency, which a result document does not have.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/json_reader.hpp"
#include "reports/result.hpp"

namespace moesim {

// A result as a reader sees it, whether it was made here or read from a file.
JsonNode result_node(const JsonValue& document);
// Nothing where there is no such place, or no number.
const JsonNode* node_at(const JsonNode& root, const std::string& pointer);
std::optional<double> number_at(const JsonNode& root, const std::string& pointer);
bool is_feasible(const JsonNode& result);

enum class MetricUnit : std::uint8_t { seconds, bytes, dollars, joules, share, plain };
MetricUnit unit_of_metric(const std::string& name);  // by the end of its key
std::string format_metric(const std::string& name, double value);

struct ResultMetric {
  std::string name, pointer;
  double scale = 1;                  // the document's number times this is in SI units
  std::optional<double> percentile;  // of a latency of served requests
  std::optional<double> of(const JsonNode& result) const;
};

// All that have a name, in the document's order: metrics, then steps, costs, breakdown and phases.
std::vector<ResultMetric> result_metrics(const JsonNode& result);
// InputError names `place` and what is near.
ResultMetric find_metric(const JsonNode& result,
                         const std::string& spelled,
                         const std::string& place);

struct MetricBound {
  std::string text;  // as written
  ResultMetric metric;
  bool is_upper = true, is_strict = true;
  double limit = 0;  // in SI units
  // Room left as a share of the limit; negative when it does not hold.
  double margin(double value) const;
  // Of an infeasible result nothing holds. As for --slo, a bound from above on pN does not hold
  // when more than 1 - N/100 of the requests were not served.
  bool holds(const JsonNode& result) const;
};
std::vector<MetricBound> parse_bounds(const std::string& text,
                                      const JsonNode& result,
                                      const std::string& place);

}  // namespace moesim
