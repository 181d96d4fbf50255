// Nanoseconds a request of the generators, milliseconds to read a trace of an hour, nanoseconds a
// request and a step of the metrics.
#include <cstdint>
#include <cstdio>
#include <string>

#include "model/serving/request_spec.hpp"
#include "model/serving/trace_file.hpp"
#include "sim/serving/serving_metrics.hpp"
#include "tests/bench/bench.hpp"
#include "tests/temporary_folder.hpp"

namespace moesim {
namespace {

const std::string kLengths =
    R"("input_tokens": {"distribution": "lognormal", "mean": 1155, "p50": 1020},
       "output_tokens": {"distribution": "exponential", "mean": 211}, "cached_share": 0.563)";

void bench_source(const char* name, const std::string& arrivals) {
  const JsonNode node = parse_json("{\"arrivals\": " + arrivals + ", " + kLengths +
                                       ", \"num_requests\": 2000000}",
                                   "bench");
  const auto source = make_source(read_requests(node, "."), 1);
  std::int64_t count = 0, tokens = 0;
  const auto start = std::chrono::steady_clock::now();
  for (; source->next_arrival(); ++count) tokens += source->take().input_tokens;
  std::printf("%s requests: %.0f ns each (mean input %.0f)\n",
              name,
              1e9 * seconds_since(start) / static_cast<double>(count),
              static_cast<double>(tokens) / static_cast<double>(count));
}

void bench_trace() {
  std::string text = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  constexpr int kRows = 19366;  // of Azure's conversation hour
  for (int i = 0; i < kRows; ++i) {
    const int second = i * 3600 / kRows;
    text += "2023-11-16 18:" + std::to_string(100 + second / 60).substr(1) + ":" +
            std::to_string(100 + second % 60).substr(1) + ".6805900," +
            std::to_string(1 + i * 7919 % 4001) + "," + std::to_string(1 + i * 104729 % 997) + "\n";
  }
  const TemporaryFolder folder;
  const auto path = folder.add_file("hour.csv", text);
  const auto start = std::chrono::steady_clock::now();
  const RequestTrace trace = read_request_trace(path, {});
  std::printf("trace of %zu rows: %.1f ms to read, %.1f MiB\n",
              trace.rows.size(),
              1e3 * seconds_since(start),
              static_cast<double>(trace.rows.capacity() * sizeof(TraceRow)) / 1048576);
}

void bench_recorder() {
  MetricsRecorder recorder({}, {{"all", 1, 0, {}}});
  constexpr std::int64_t kSteps = 5'000'000, kRequests = 1'000'000;
  constexpr Tick kMs = 1'000'000'000;
  auto start = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < kSteps; ++i) recorder.token_gaps(i * kMs, 20 * kMs + i * 7919 % 1000003, 40);
  std::printf("metrics: %.0f ns a step", 1e9 * seconds_since(start) / kSteps);
  start = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < kRequests; ++i) {
    RequestRecord record;
    record.request.arrival = i * kMs;
    record.request.input_tokens = 1000;
    record.request.output_tokens = static_cast<std::int32_t>(10 + i % 300);
    record.scheduled = record.request.arrival + i * 7919 % 100003 * 1000;
    record.first_token = record.scheduled + 500 * kMs;
    record.finished = record.first_token + record.request.output_tokens * 20 * kMs;
    recorder.arrived(record.request);
    recorder.finished(record);
  }
  std::printf(", %.0f ns a request", 1e9 * seconds_since(start) / kRequests);
  start = std::chrono::steady_clock::now();
  const ServingMetrics metrics = recorder.metrics();
  std::printf(", %.0f ms for the percentiles of %lld\n",
              1e3 * seconds_since(start),
              static_cast<long long>(metrics.served()));
}

}  // namespace

void bench_requests() {
  bench_source("Poisson", R"({"process": "poisson", "rate_per_s": 1000})");
  bench_source("diurnal", R"({"process": "diurnal", "rate_per_s": 1000, "swing": 0.5, "peak_hour": 14})");
  bench_trace();
  bench_recorder();
}

}  // namespace moesim
