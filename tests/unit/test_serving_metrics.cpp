// Metrics of a serving run: percentiles by numpy's rule, definitions of vLLM's benchmark, verdicts.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "model/random.hpp"
#include "reports/serving/serving_bench_json.hpp"
#include "sim/serving/queue_trend.hpp"
#include "sim/serving/serving_metrics.hpp"
#include "sim/serving/student.hpp"
#include "sim/serving/value_sample.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

constexpr Tick kSecond = 1'000'000'000'000, kMs = 1'000'000'000;

const std::vector<RequestClass> kOneClass = {{"all", 1, 0, {}}};

RequestRecord record(Tick arrival,
                     Tick queue,
                     Tick prefill,
                     Tick decode,
                     std::int32_t input,
                     std::int32_t output,
                     Outcome outcome = Outcome::served) {
  RequestRecord r;
  r.request.arrival = arrival;
  r.request.input_tokens = input;
  r.request.output_tokens = output;
  r.outcome = outcome;
  r.scheduled = arrival + queue;
  r.first_token = r.scheduled + prefill;
  r.finished = r.first_token + decode;
  return r;
}

// Straight from numpy's documentation: virtual index (n - 1) q, neighbours, linear.
double brute_percentile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  const double at = static_cast<double>(values.size() - 1) * p / 100;
  const auto below = static_cast<std::size_t>(std::floor(at));
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (at - std::floor(at));
}

enum class Service { constant, exponential };

// One server with a mean service of 1 s, Poisson arrivals at `rate`.
ServingMetrics single_server(double rate,
                             int count,
                             std::uint64_t seed,
                             Service service,
                             const MetricsSettings& settings = {}) {
  MetricsRecorder recorder(settings, kOneClass);
  Random random(seed);
  double time = 0;
  Tick free_at = 0;
  std::vector<RequestRecord> records;
  for (int i = 0; i < count; ++i) {
    time -= std::log(random.uniform()) / rate;
    const auto arrival = static_cast<Tick>(time * kSecond);
    const Tick start = std::max(arrival, free_at);
    const double mean = service == Service::constant ? 1 : -std::log(random.uniform());
    const auto served = static_cast<Tick>(mean * kSecond);
    free_at = start + served;
    records.push_back(record(arrival, start - arrival, served, 0, 10, 1));
    records.back().request.id = i;
  }
  std::size_t next = 0;
  for (const RequestRecord& done : records) {
    for (; next < records.size() && records[next].request.arrival <= done.finished; ++next) {
      recorder.arrived(records[next].request);
    }
    recorder.finished(done);
  }
  return recorder.metrics();
}

}  // namespace

TEST_CASE("Percentiles are numpy's", "[serving_metrics]") {
  ValueSample four(100);
  for (const double v : {4.0, 1.0, 3.0, 2.0}) four.add(v);
  const Distribution d = four.distribution({0, 25, 90, 99, 100});
  // numpy.percentile([1, 2, 3, 4], ...)
  CHECK(d.percentile(0) == 1);
  CHECK(d.percentile(25) == 1.75);
  CHECK(d.median == 2.5);
  CHECK(d.percentile(50) == 2.5);
  CHECK(d.percentile(90) == Approx(3.7).epsilon(1e-15));
  CHECK(d.percentile(99) == Approx(3.97).epsilon(1e-15));
  CHECK(d.percentile(100) == 4);
  CHECK(d.mean == 2.5);
  CHECK(d.deviation == Approx(std::sqrt(1.25)));  // numpy.std
  ValueSample five(100);
  for (const double v : {15.0, 20.0, 35.0, 40.0, 50.0}) five.add(v);
  CHECK(five.distribution({40}).percentile(40) == 29);

  ValueSample one(100);
  one.add(7);
  CHECK(one.distribution({1, 99}).percentile(99) == 7);
  const Distribution none = ValueSample(100).distribution({99});
  CHECK(none.count == 0);
  CHECK(none.percentile(99) == 0);
}

TEST_CASE("Percentiles of random samples: alone, weighted, and in bins", "[serving_metrics]") {
  Random random(5);
  const std::vector<double> asked = {0, 0.1, 1, 10, 50, 75, 90, 99, 99.9, 100};
  for (const int n : {2, 3, 10, 999, 20000}) {
    ValueSample plain(30000), weighted(30000, true), binned(n / 2, true), plain_binned(n / 2);
    std::vector<double> values;
    while (values.size() < static_cast<std::size_t>(n)) {
      const double v = std::exp(3 * random.normal()) * 1e-3;
      const auto count = std::min<std::size_t>(1 + random.bits() % 3, n - values.size());
      for (std::size_t i = 0; i < count; ++i) {
        values.push_back(v);
        plain.add(v);
        plain_binned.add(v);
      }
      weighted.add(v, static_cast<std::int64_t>(count));
      binned.add(v, static_cast<std::int64_t>(count));
    }
    const Distribution a = plain.distribution(asked), b = weighted.distribution(asked),
                       c = binned.distribution(asked), d = plain_binned.distribution(asked);
    CHECK(a.is_exact);
    CHECK(b.is_exact);
    CHECK_FALSE(d.is_exact);
    for (const double p : asked) {
      CHECK(a.percentile(p) == Approx(brute_percentile(values, p)).epsilon(1e-12));
      CHECK(b.percentile(p) == Approx(a.percentile(p)).epsilon(1e-12));
      CHECK(c.percentile(p) == Approx(a.percentile(p)).epsilon(1e-3));
      CHECK(d.percentile(p) == Approx(a.percentile(p)).epsilon(1e-3));
    }
    CHECK(c.mean == Approx(a.mean).epsilon(1e-9));
    CHECK(d.deviation == Approx(a.deviation).epsilon(1e-9));
    CHECK(c.max == a.max);
  }
  // Gaps that repeat stay exact however many there are.
  ValueSample gaps(10, true);
  for (int i = 0; i < 100000; ++i) gaps.add(i % 4, 3);
  const Distribution d = gaps.distribution({99});
  CHECK(d.is_exact);
  CHECK(d.count == 300000);
  CHECK(d.median == 1.5);
}

TEST_CASE("Clocks become TTFT, TPOT, E2E and queue time", "[serving_metrics]") {
  MetricsRecorder recorder({}, {{"chat", 0.5, 0, {2 * s, 50 * ms, std::nullopt}}, {"batch", 0.5, 1, {}}});
  RequestRecord a = record(kSecond, 500 * kMs, 1500 * kMs, 400 * kMs, 100, 11);
  RequestRecord b = record(2 * kSecond, 0, 2500 * kMs, 0, 50, 1);  // TTFT too long
  RequestRecord c = record(3 * kSecond, 0, kSecond, 600 * kMs, 30, 11);  // 60 ms a token
  RequestRecord d = c;
  d.request.slo_class = 1;
  RequestRecord e = record(3 * kSecond, 0, kSecond, 0, 30, 1);  // one token: no TPOT, good
  RequestRecord f = record(4 * kSecond, 0, 0, 0, 7, 3, Outcome::rejected_queue);
  a.cached_tokens = 24;
  a.preemptions = 2;
  for (const RequestRecord& r : {a, b, c, d, e, f}) recorder.arrived(r.request);
  recorder.token_gaps(4 * kSecond, 40 * kMs, 10);
  recorder.token_gaps(4 * kSecond + 600 * kMs, 60 * kMs, 20);
  for (const RequestRecord& r : {a, b, c, d, e, f}) recorder.finished(r);
  const ServingMetrics m = recorder.metrics();
  CHECK(m.requests == 6);
  CHECK(m.served() == 5);
  CHECK(m.outcomes[3] == 1);
  CHECK(m.begin_s == 0);
  CHECK(m.end_s == 4.6);
  CHECK(m.ttft_s.mean == Approx((2 + 2.5 + 1 + 1 + 1) / 5));
  CHECK(m.queue_s.max == 0.5);
  CHECK(m.tpot_s.count == 3);
  CHECK(m.tpot_s.mean == Approx((0.04 + 0.06 + 0.06) / 3));
  CHECK(m.tpot_s.min == Approx(0.04));
  CHECK(m.e2e_s.max == 2.5);
  CHECK(m.itl_s.count == 30);
  CHECK(m.itl_s.mean == Approx((0.4 + 1.2) / 30));
  CHECK(m.tokens_per_s_per_user.max == Approx(25));
  CHECK(m.input_tokens == 240);
  CHECK(m.output_tokens == 35);
  CHECK(m.cached_share() == Approx(0.1));
  CHECK(m.preemptions == 2);
  CHECK(m.request_throughput() == Approx(5 / 4.6));
  CHECK(m.total_throughput() == Approx(275 / 4.6));
  CHECK(m.good_requests == 3);  // a, d, e
  CHECK(m.classes[0].requests == 5);
  CHECK(m.classes[0].good == 2);
  CHECK(m.classes[0].good_output_tokens == 12);
  CHECK(m.classes[0].goodput_share() == Approx(0.4));
  CHECK(m.classes[1].good == 1);
  CHECK_FALSE(m.classes[1].has_slo);
  CHECK(m.goodput_share() == Approx(0.5));
  CHECK(m.refused_share() == Approx(1.0 / 6));
  CHECK(m.max_concurrent_requests == 6);
  CHECK(m.max_output_tokens_per_s == 34);  // second 4: the 30 gaps and four first tokens
  CHECK(m.is_balanced());

  const JsonValue vllm = vllm_bench_json(m);
  CHECK(vllm.number_at("/mean_ttft_ms") == Approx(1500));
  CHECK(vllm.number_at("/median_tpot_ms") == Approx(60));
  CHECK(vllm.number_at("/p99_e2el_ms") == Approx(m.e2e_s.percentile(99) * 1000));
  CHECK(vllm.number_at("/request_goodput") == Approx(3 / 4.6));
  CHECK(vllm.number_at("/completed") == 5);
  CHECK(vllm.number_at("/failed") == 1);
  CHECK(vllm.number_at("/total_token_throughput") == Approx(275 / 4.6));
  const JsonValue aiperf = aiperf_json(m);
  CHECK(aiperf.number_at("/time_to_first_token/avg") == Approx(1500));
  CHECK(aiperf.number_at("/inter_token_latency/p50") == Approx(60));
  CHECK(aiperf.number_at("/inter_token_latency/count") == 3);
  CHECK(aiperf.number_at("/inter_chunk_latency/count") == 30);
  CHECK(aiperf.number_at("/request_latency/std") ==
        Approx(1000 * m.e2e_s.deviation * std::sqrt(5.0 / 4)));
  CHECK(aiperf.number_at("/output_token_throughput/avg") == Approx(35 / 4.6));
  CHECK(aiperf.number_at("/goodput/avg") == Approx(3 / 4.6));
  CHECK(aiperf.dump().find("\"unit\": \"tokens/sec/user\"") != std::string::npos);
}

TEST_CASE("The keys are those of the tools", "[serving_metrics]") {
  MetricsSettings settings;
  settings.percentiles = {99, 99.9};
  MetricsRecorder recorder(settings, kOneClass);
  recorder.finished(record(0, 0, kSecond, kSecond, 5, 3));
  CHECK(vllm_bench_json(recorder.metrics()).dump() ==
        R"({
  "duration": 2.0,
  "completed": 1,
  "failed": 0,
  "total_input_tokens": 5,
  "total_output_tokens": 3,
  "request_throughput": 0.5,
  "request_goodput": null,
  "output_throughput": 1.5,
  "total_token_throughput": 4.0,
  "max_output_tokens_per_s": 1.0,
  "max_concurrent_requests": 0,
  "mean_ttft_ms": 1000.0,
  "median_ttft_ms": 1000.0,
  "std_ttft_ms": 0.0,
  "p99_ttft_ms": 1000.0,
  "p99.9_ttft_ms": 1000.0,
  "mean_tpot_ms": 500.0,
  "median_tpot_ms": 500.0,
  "std_tpot_ms": 0.0,
  "p99_tpot_ms": 500.0,
  "p99.9_tpot_ms": 500.0,
  "mean_itl_ms": 0.0,
  "median_itl_ms": 0.0,
  "std_itl_ms": 0.0,
  "p99_itl_ms": 0.0,
  "p99.9_itl_ms": 0.0,
  "mean_e2el_ms": 2000.0,
  "median_e2el_ms": 2000.0,
  "std_e2el_ms": 0.0,
  "p99_e2el_ms": 2000.0,
  "p99.9_e2el_ms": 2000.0
}
)");
}

TEST_CASE("The warm-up is simulated and not measured", "[serving_metrics]") {
  MetricsSettings by_time;
  by_time.warm_up = 2 * s;
  MetricsSettings by_count;
  by_count.warm_up_requests = 2;
  for (const MetricsSettings& settings : {by_time, by_count}) {
    MetricsRecorder recorder(settings, kOneClass);
    std::vector<RequestRecord> records;
    for (int i = 0; i < 5; ++i) {
      records.push_back(record(i * kSecond, 0, kSecond, 9 * kSecond, 10, 10));
      recorder.arrived(records.back().request);
    }
    recorder.token_gaps(kSecond, kMs, 1);
    recorder.token_gaps(3 * kSecond, kMs, 1);
    for (const RequestRecord& r : records) recorder.finished(r);
    const ServingMetrics m = recorder.metrics();
    CHECK(m.requests == 3);
    CHECK(m.begin_s == 2);
    CHECK(m.end_s == 14);
    CHECK(m.input_tokens == 30);
    CHECK(m.all_finished == 5);
    CHECK(m.itl_s.count == 1);
    CHECK(m.is_balanced());
  }
  // All of it warm-up: nothing is measured, and nothing divides by zero.
  MetricsSettings all;
  all.warm_up_requests = 9;
  MetricsRecorder recorder(all, kOneClass);
  const RequestRecord r = record(0, 0, kSecond, kSecond, 5, 3);
  recorder.arrived(r.request);
  recorder.token_gaps(kSecond, kMs, 1);
  recorder.finished(r);
  CHECK(recorder.metrics().requests == 0);
  CHECK(recorder.metrics().request_throughput() == 0);
  CHECK(recorder.metrics().ttft_s.count == 0);
}

TEST_CASE("What did not come out again is seen", "[serving_metrics]") {
  MetricsRecorder recorder({}, kOneClass);
  const RequestRecord r = record(0, 0, kSecond, kSecond, 5, 3);
  recorder.arrived(r.request);
  CHECK_FALSE(recorder.metrics().is_balanced());
  recorder.finished(r);
  CHECK(recorder.metrics().is_balanced());
}

TEST_CASE("The number waiting, piece by piece", "[serving_metrics]") {
  // Against the integral over the requests themselves, past several doublings of the bins.
  Random random(9);
  QueueTrend trend(5 * kSecond);
  std::vector<std::pair<double, double>> waits;
  double time = 5;
  for (int i = 0; i < 3000; ++i) {
    time += 0.02 * random.uniform() * (1 + i / 500.0);
    const double until = time - 3 * std::log(random.uniform());
    waits.emplace_back(time, until);
    trend.waited(static_cast<Tick>(time * kSecond), static_cast<Tick>(until * kSecond));
  }
  const double last = waits.back().first, piece = (last - 5) / 20;
  const std::vector<double> means = trend.mean_waiting(20);
  REQUIRE(means.size() == 20);
  for (int i = 0; i < 20; ++i) {
    double sum = 0;
    for (const auto& [from, until] : waits) {
      const double begin = 5 + i * piece;
      sum += std::max(0.0, std::min(until, begin + piece) - std::max(from, begin));
    }
    CHECK(means[static_cast<std::size_t>(i)] == Approx(sum / piece).epsilon(0.01).margin(0.05));
  }
  double waiting = 0, late = 0;
  for (const auto& [from, until] : waits) {
    waiting += until > last ? 1 : 0;
    late += from > (last + 5) / 2 ? 1 : 0;
  }
  CHECK(trend.waiting_at_last_arrival() == Approx(waiting).margin(2));
  CHECK(trend.late_arrivals() == Approx(late).margin(2));
}

TEST_CASE("Saturation: above the service rate, and not below", "[serving_metrics]") {
  const auto num_saturated = [](double load, int count) {
    int num = 0;
    for (std::uint64_t seed = 1; seed <= 25; ++seed) {
      num += single_server(load, count, seed, Service::exponential).saturation.is_saturated ? 1 : 0;
    }
    return num;
  };
  CHECK(num_saturated(0.95, 10000) == 0);
  CHECK(num_saturated(1.05, 10000) >= 23);
  CHECK(num_saturated(0.9, 400) <= 1);
  CHECK(num_saturated(1.3, 400) >= 23);
  const Saturation found = single_server(1.2, 2000, 1, Service::constant).saturation;
  CHECK(found.waiting_second_half > 2 * found.waiting_first_half);
  CHECK(static_cast<double>(found.waiting_at_end) == Approx(2000 * (1 - 1 / 1.2)).epsilon(0.2));
  CHECK(found.t > found.t_limit);
  // A bounded queue refuses instead.
  MetricsRecorder recorder({}, kOneClass);
  for (int i = 0; i < 100; ++i) {
    recorder.finished(record(i * kSecond, 0, 0, 0, 5, 3,
                             i % 20 == 0 ? Outcome::rejected_queue : Outcome::served));
  }
  CHECK(recorder.metrics().saturation.is_saturated);
}

TEST_CASE("M/D/1: the mean queue time is the closed form", "[serving_metrics]") {
  // rho / (2 (1 - rho)) of a service time.
  std::vector<ServingMetrics> runs;
  MetricsSettings settings;
  settings.warm_up_requests = 1000;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    runs.push_back(single_server(0.7, 20000, seed, Service::constant, settings));
  }
  for (const MetricInterval& interval : confidence_intervals(runs, 0.999)) {
    if (interval.name != "mean_queue_s") continue;
    const double known = 0.7 / (2 * 0.3);
    CHECK(std::abs(interval.mean - known) < interval.half_width);
    CHECK(interval.half_width < 0.15 * known);
    CHECK(interval.runs == 8);
  }
}

TEST_CASE("Student's t as in the tables", "[serving_metrics]") {
  CHECK(student_quantile(0.975, 1) == Approx(12.7062047).epsilon(1e-8));
  CHECK(student_quantile(0.975, 4) == Approx(2.7764451).epsilon(1e-8));
  CHECK(student_quantile(0.95, 9) == Approx(1.8331129).epsilon(1e-7));
  CHECK(student_quantile(0.99, 18) == Approx(2.5523796).epsilon(1e-7));
  CHECK(student_quantile(0.995, 1000) == Approx(2.5807547).epsilon(1e-7));
  CHECK(student_quantile(0.025, 4) == Approx(-2.7764451).epsilon(1e-8));
  CHECK(student_quantile(0.5, 4) == Approx(0).margin(1e-9));
}

TEST_CASE("Intervals over runs", "[serving_metrics]") {
  std::vector<ServingMetrics> runs(3);
  const double values[] = {1, 2, 6};
  for (std::size_t i = 0; i < 3; ++i) runs[i].ttft_s.mean = values[i];
  const auto intervals = confidence_intervals(runs);
  const auto at = std::find_if(intervals.begin(), intervals.end(),
                               [](const MetricInterval& one) { return one.name == "mean_ttft_s"; });
  REQUIRE(at != intervals.end());
  CHECK(at->mean == Approx(3));
  // t(0.975, 2) = 4.3026527, s = sqrt(7), n = 3.
  CHECK(at->half_width == Approx(4.3026527 * std::sqrt(7.0 / 3)));
  CHECK(confidence_intervals({runs.data(), 1})[0].half_width == 0);
}
