// Metrics by the names that people use, and bounds on them.
#include "reports/metric.hpp"
#include "sim/serving/slo.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

JsonNode training() {
  return parse_json(R"({"feasible": true,
    "metrics": {"step_time_s": 18.0, "mfu_causal": 0.43, "mfu_noncausal": 0.48, "gpu_hours": 2.5e6,
                "gpu_hours_first_phase": 2.4e6, "cost_usd": 5e6, "memory_peak_bytes": 7e10},
    "breakdown": {"bubble_s": 1.5}, "memory": [{"total_bytes": 6e10}], "run": []})",
                    "training");
}

JsonNode serving(int served = 100) {
  return parse_json(R"({"feasible": true,
    "metrics": {"requests": 100, "served": )" +
                        std::to_string(served) + R"(,
                "requests_per_s": 4.0, "output_tokens_per_s": 800.0,
                "ttft_s": {"mean": 0.2, "p50": 0.1, "p90": 0.3, "p99": 0.6},
                "tpot_s": {"mean": 0.049, "p50": 0.048, "p90": 0.06, "p99": 0.08},
                "e2e_s": {"mean": 9.5, "p50": 8.0, "p90": 18.0, "p99": 30.0},
                "goodput_share": 0.6, "goodput_requests_per_s": 2.4},
    "steps": [{"name": "decode", "step_time_s": 0.03, "tpot_s": 0.03}],
    "pools": [], "vllm": {"p95_ttft_ms": 400.0, "total_token_throughput": 5000.0}})",
                    "serving");
}

std::string message(const JsonNode& result, const std::string& spelled) {
  try {
    find_metric(result, spelled, "--metric");
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

std::string bound_message(const JsonNode& result, const std::string& text) {
  try {
    parse_bounds(text, result, "--for");
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("metric names: exact, without a unit, with a statistic, by pointer") {
  const auto value = [](const JsonNode& result, const char* spelled) {
    return find_metric(result, spelled, "--metric").of(result).value();
  };
  CHECK(value(training(), "step_time_s") == 18.0);
  CHECK(value(training(), "step_time") == 18.0);
  CHECK(value(training(), "gpu_hours") == 2.5e6);
  CHECK(value(training(), "cost") == 5e6);
  CHECK(value(training(), "memory_peak") == 7e10);
  CHECK(value(training(), "/memory/0/total_bytes") == 6e10);
  CHECK(value(training(), "bubble") == 1.5);
  CHECK(value(serving(), "ttft_s/p99") == 0.6);
  CHECK(value(serving(), "p99_ttft") == 0.6);
  CHECK(value(serving(), "ttft_p99") == 0.6);
  CHECK(value(serving(), "p99_ttft_ms") == 0.6);
  CHECK(value(serving(), "median_tpot") == 0.048);
  CHECK(value(serving(), "tpot") == 0.049);  // of requests, not of a step
  CHECK(value(serving(), "mean_e2el") == 9.5);
  CHECK(value(serving(), "goodput") == 0.6);
  CHECK(value(serving(), "total_throughput") == 5000.0);
  CHECK(value(serving(), "p95_ttft") == Approx(0.4));
  CHECK(value(serving(), "step_time") == 0.03);
}

TEST_CASE("metric names: ambiguous and unknown ones are refused with what is near") {
  CHECK(message(training(), "mfu") == "--metric: \"mfu\" may be any of: mfu_causal, mfu_noncausal");
  CHECK(contains(message(training(), "step_tiem"), "did you mean \"step_time\"?"));
  CHECK(contains(message(training(), "p99_step_time"), "unknown metric"));
  CHECK(contains(message(serving(), "p98_ttft"), "unknown metric \"p98_ttft\""));
  CHECK(message(training(), "/memory/7/total_bytes") ==
        "--metric: the result has no number at \"/memory/7/total_bytes\"");
}

TEST_CASE("bounds: whatever --slo takes has the same limit here") {
  for (const char* text : {"p99_ttft<2s",
                           "p99_tpot<=50ms",
                           "mean_e2e<30s",
                           "median_ttft < 1.5 s",
                           "p99_ttft_ms<2000",
                           "goodput>0.95",
                           "output_throughput>=100"}) {
    const SloBound slo = parse_slo(text).front();
    const MetricBound bound = parse_bounds(text, serving(), "--for").front();
    INFO(text);
    CHECK(bound.limit == Approx(slo.limit));
    CHECK(bound.is_upper == slo.is_upper);
    CHECK(bound.is_strict == slo.is_strict);
  }
}

TEST_CASE("bounds: units by the metric, several with commas") {
  const std::vector<MetricBound> bounds = parse_bounds(
      "step_time<19s, mfu_causal>40%, cost<5.2M USD, memory_peak<=75GB, gpu_hours<2.6M, cost<$6M",
      training(),
      "--for");
  REQUIRE(bounds.size() == 6);
  CHECK(bounds[0].limit == 19);
  CHECK(bounds[1].limit == Approx(0.4));
  CHECK_FALSE(bounds[1].is_upper);
  CHECK(bounds[2].limit == Approx(5.2e6));
  CHECK(bounds[3].limit == 75e9);
  CHECK_FALSE(bounds[3].is_strict);
  CHECK(bounds[4].limit == Approx(2.6e6));
  CHECK(bounds[5].limit == Approx(6e6));
  CHECK(bounds[0].holds(training()));
  CHECK_FALSE(bounds[2].margin(5.3e6) > 0);
  CHECK_FALSE(
      bounds[5].holds(parse_json(R"({"feasible": false, "metrics": {"cost_usd": 1.0}})", "x")));
}

TEST_CASE("bounds: percentiles do not hold when too many requests are not served") {
  const MetricBound bound = parse_bounds("p99_ttft<2s", serving(), "--for").front();
  CHECK(bound.holds(serving(100)));
  CHECK(bound.holds(serving(99)));
  CHECK_FALSE(bound.holds(serving(98)));
  CHECK(parse_bounds("ttft<2s", serving(), "--for").front().holds(serving(98)));
}

TEST_CASE("bounds: wrong ones are told with their text") {
  CHECK(contains(bound_message(training(), "step_time<19"), "expected a time with its unit"));
  CHECK(contains(bound_message(training(), "step_time<19 GB"), "unknown unit \"GB\""));
  CHECK(contains(bound_message(training(), "step_time"), "--for \"step_time\": expected a bound"));
  CHECK(contains(bound_message(training(), "step_time=3s"), "expected a bound with <"));
  CHECK(contains(bound_message(training(), "<3s"), "expected a metric"));
  CHECK(contains(bound_message(training(), "step_time<"), "expected a value"));
  CHECK(contains(bound_message(training(), "step_time<19s,"), "found none"));
  CHECK(contains(bound_message(training(), "mfu_causal>40"), "share of 0 to 1"));
  CHECK(contains(bound_message(training(), "cost<5M"), "like 5.2M USD"));
  CHECK(contains(bound_message(training(), "gpu_hours<2X"), "unknown unit \"X\""));
  CHECK(contains(bound_message(training(), "step_time<nans"), "expected a time"));
}
