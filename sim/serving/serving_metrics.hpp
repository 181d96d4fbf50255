// What users and operators see of a serving run, from the clocks of its requests, with the
// definitions of vLLM's benchmark (vllm/benchmarks/serve.py):
//   TTFT   first token - arrival
//   TPOT   (last token - first token) / (output tokens - 1), of requests with at least 2
//   ITL    gaps between tokens as a streaming client sees them; tokens accepted in one step of
//          speculation arrive together, so all but the first have a gap of 0
//   E2E    last token - arrival
//   queue  first computed - arrival
// All of served requests. Percentiles: value_sample.hpp.
//
// Measured is what arrives after the warm-up; all is simulated. The window of the rates begins with
// the warm-up's end and ends when the last measured request left, as a benchmark's duration does:
// filling up and running empty are in it. Gaps between tokens count from the window's beginning,
// whoever's they are.
//
// Good is a served request that keeps every bound of its class (a request of one token has a TPOT
// of 0, as vLLM has it). Goodput share is good requests of all measured ones, refused ones and lost
// ones included.
//
// Saturated: the queue grows as long as requests come. The time from the beginning of the window to
// the last measured arrival is cut into 20 equal pieces; the mean numbers waiting in the last 10 are
// compared with those in the first 10 (Welch's t over pieces, one-sided, 99 %). And at the last
// arrival n requests have to be waiting that are more than 2 % of the arrivals of the last 10
// pieces, because a queue that a stable system carries does not grow with the length of the run, and
// more than 2 sqrt(all arrivals): that many come together by chance when the load just equals what
// can be served and both vary as a Poisson process does. With an M/M/1 queue, of 100 runs of 10,000
// requests none at a load of 0.95 is called saturated and 85 or more at 1.05
// (tests/unit/test_serving_metrics.cpp); short runs say saturated only when it is gross. A bounded
// queue cannot grow: there it is more than 1 % of measured requests refused for it.
//
// Left out: failed requests that a client would send again.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/serving/request_spec.hpp"
#include "sim/serving/request_log.hpp"
#include "sim/serving/value_sample.hpp"

namespace moesim {

inline constexpr std::size_t kNumOutcomes = 5;
inline constexpr std::array<const char*, kNumOutcomes> kOutcomeNames = {
    "served", "rejected_context", "rejected_memory", "rejected_queue", "lost"};

struct MetricsSettings {
  Seconds warm_up;                        // arrivals before it are not measured
  std::int64_t warm_up_requests = 0;      // nor are the first so many
  std::vector<double> percentiles = {1, 5, 10, 25, 50, 75, 90, 95, 99};
  std::size_t exact_values = 2'000'000;   // of each quantity; beyond, percentiles to 0.1 %
};

struct ClassMetrics {
  std::string name;
  bool has_slo = false;
  std::int64_t requests = 0, served = 0, good = 0;
  std::int64_t output_tokens = 0, good_output_tokens = 0;
  double goodput_share() const;  // good requests of all; 1 without requests
};

struct Saturation {
  bool is_saturated = false;
  double waiting_first_half = 0, waiting_second_half = 0;  // requests, on average
  std::int64_t waiting_at_end = 0;                         // at the last measured arrival
  double t = 0, t_limit = 0;  // Welch; 0 when the numbers waiting do not vary
};

struct ServingMetrics {
  // The window, since the start of the simulation.
  double begin_s = 0, end_s = 0;
  double duration_s() const { return end_s - begin_s; }

  // Of measured requests.
  std::int64_t requests = 0;
  std::array<std::int64_t, kNumOutcomes> outcomes{};
  std::int64_t served() const { return outcomes[0]; }
  double refused_share() const;  // for memory or queue, or lost; of all that the context limit lets by
  std::int64_t input_tokens = 0, output_tokens = 0;  // of served ones
  std::int64_t cached_tokens = 0;                    // of input_tokens
  std::int64_t preemptions = 0;
  Distribution ttft_s, tpot_s, itl_s, e2e_s, queue_s;
  Distribution input_lengths, output_lengths;
  Distribution tokens_per_s_per_user;  // 1 / TPOT of each request
  std::vector<ClassMetrics> classes;
  std::int64_t good_requests = 0, good_output_tokens = 0;
  bool has_slo = false;
  std::int64_t max_output_tokens_per_s = 0;  // in any second of the window
  std::int64_t max_concurrent_requests = 0;  // in the system at once, in the window
  Saturation saturation;

  // Of all requests, warm-up included. Arrived counts are 0 where nobody reports arrivals.
  std::int64_t all_arrived = 0, all_finished = 0;
  std::int64_t all_input_arrived = 0;
  std::array<std::int64_t, kNumOutcomes> all_input_tokens{};  // by outcome
  // Every token that came in was served or refused.
  bool is_balanced() const;

  double request_throughput() const { return per_second(served()); }
  double input_throughput() const { return per_second(input_tokens); }
  double output_throughput() const { return per_second(output_tokens); }
  double total_throughput() const { return per_second(input_tokens + output_tokens); }
  double request_goodput() const { return per_second(good_requests); }
  double token_goodput() const { return per_second(good_output_tokens); }
  double goodput_share() const;
  double cached_share() const;

 private:
  double per_second(std::int64_t count) const;
};

class MetricsRecorder : public RequestLog {
 public:
  MetricsRecorder(const MetricsSettings& settings, const std::vector<RequestClass>& classes);
  ~MetricsRecorder() override;
  void arrived(const Request& request) override;
  void finished(const RequestRecord& record) override;
  void token_gaps(Tick when, Tick gap, std::int64_t count) override;
  ServingMetrics metrics();  // of what was recorded so far

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A number of the metrics by its name, and over several seeds.
struct NamedValue {
  std::string name;  // "p99_ttft_s", "output_throughput_per_s"
  double value = 0;
};
// Throughputs, shares, and mean, median, p90, p95 and p99 (where measured) of each distribution.
std::vector<NamedValue> named_values(const ServingMetrics& metrics);

struct MetricInterval {
  std::string name;
  double mean = 0, half_width = 0;  // of the mean: Student's t over the runs
  std::size_t runs = 0;
};
// `confidence` two-sided; with one run no half-widths (0).
std::vector<MetricInterval> confidence_intervals(std::span<const ServingMetrics> runs,
                                                 double confidence = 0.95);

}  // namespace moesim
