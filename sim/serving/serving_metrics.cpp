#include "sim/serving/serving_metrics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "model/errors.hpp"
#include "sim/serving/queue_trend.hpp"
#include "sim/serving/student.hpp"

namespace moesim {
namespace {

constexpr double kTicksPerSecond = 1e12;
constexpr Tick kSecond = 1'000'000'000'000;
constexpr Tick kNever = std::numeric_limits<Tick>::max();
// The saturation rule of the header.
constexpr std::size_t kPieces = 20;
constexpr double kTrendConfidence = 0.99, kWaitingShare = 0.02, kChance = 2, kRefusedShare = 0.01;

double seconds_of(Tick ticks) { return static_cast<double>(ticks) / kTicksPerSecond; }

double share_of(std::int64_t part, std::int64_t all, double without) {
  return all == 0 ? without : static_cast<double>(part) / static_cast<double>(all);
}

Saturation saturation_of(const QueueTrend& trend, std::int64_t rejected, std::int64_t requests) {
  Saturation result;
  const double waiting = trend.waiting_at_last_arrival();
  result.waiting_at_end = std::llround(waiting);
  const std::vector<double> pieces = trend.mean_waiting(kPieces);
  if (!pieces.empty()) {
    constexpr std::size_t half = kPieces / 2;
    const auto moments = [&](std::size_t from) {
      double mean = 0, variance = 0;
      for (std::size_t i = from; i < from + half; ++i) mean += pieces[i] / half;
      for (std::size_t i = from; i < from + half; ++i) {
        variance += (pieces[i] - mean) * (pieces[i] - mean) / (half - 1);
      }
      return std::pair(mean, variance / half);
    };
    const auto [first, first_error] = moments(0);
    const auto [second, second_error] = moments(half);
    result.waiting_first_half = first;
    result.waiting_second_half = second;
    const double error = first_error + second_error;
    if (error > 0) {
      // Welch and Satterthwaite.
      const double degrees = error * error * (half - 1) /
                             (first_error * first_error + second_error * second_error);
      result.t = (second - first) / std::sqrt(error);
      result.t_limit = student_quantile(kTrendConfidence, degrees);
    }
  }
  const double by_chance = kChance * std::sqrt(trend.arrivals());
  const bool grows = result.t > result.t_limit && waiting > by_chance &&
                     waiting > kWaitingShare * trend.late_arrivals();
  result.is_saturated = grows || share_of(rejected, requests, 0) > kRefusedShare;
  return result;
}

}  // namespace

double ClassMetrics::goodput_share() const { return share_of(good, requests, 1); }

double ServingMetrics::per_second(std::int64_t count) const {
  return duration_s() > 0 ? static_cast<double>(count) / duration_s() : 0;
}

double ServingMetrics::refused_share() const {
  return share_of(outcomes[2] + outcomes[3] + outcomes[4], requests - outcomes[1], 0);
}

double ServingMetrics::goodput_share() const { return share_of(good_requests, requests, 1); }

double ServingMetrics::cached_share() const { return share_of(cached_tokens, input_tokens, 0); }

bool ServingMetrics::is_balanced() const {
  const std::int64_t left =
      std::accumulate(all_input_tokens.begin(), all_input_tokens.end(), std::int64_t{0});
  return all_arrived == all_finished && all_input_arrived == left;
}

struct MetricsRecorder::Impl {
  struct Bounds {
    Tick ttft = kNever, e2e = kNever;
    double tpot_s = std::numeric_limits<double>::infinity();
  };

  Impl(const MetricsSettings& s_, const std::vector<RequestClass>& classes)
      : settings(s_),
        ttft(s_.exact_values),
        tpot(s_.exact_values),
        e2e(s_.exact_values),
        queue(s_.exact_values),
        input(s_.exact_values),
        output(s_.exact_values),
        per_user(s_.exact_values),
        itl(s_.exact_values, true) {
    for (const RequestClass& one : classes) {
      ClassMetrics metrics;
      metrics.name = one.name;
      metrics.has_slo = one.slo.ttft || one.slo.tpot || one.slo.e2e;
      result.has_slo |= metrics.has_slo;
      result.classes.push_back(metrics);
      Bounds bound;
      if (one.slo.ttft) bound.ttft = to_tick(*one.slo.ttft);
      if (one.slo.e2e) bound.e2e = to_tick(*one.slo.e2e);
      if (one.slo.tpot) bound.tpot_s = one.slo.tpot->in(s);
      bounds.push_back(bound);
    }
    ENSURE(!bounds.empty());
    if (settings.warm_up_requests == 0) open(to_tick(settings.warm_up));
  }

  void open(Tick at) {
    begin = at;
    end = at;
    trend.emplace(at);
  }

  void count_tokens(Tick when, std::int64_t count) {
    const auto second = static_cast<std::size_t>((when - begin) / kSecond);
    if (second >= tokens_in_second.size()) tokens_in_second.resize(second + 1);
    tokens_in_second[second] += count;
  }

  void add_served(const RequestRecord& record) {
    const Request& request = record.request;
    ClassMetrics& of_class = result.classes[static_cast<std::size_t>(request.slo_class)];
    const Bounds& bound = bounds[static_cast<std::size_t>(request.slo_class)];
    ENSURE(request.arrival <= record.scheduled && record.scheduled <= record.first_token &&
           record.first_token <= record.finished);
    const Tick to_first = record.first_token - request.arrival;
    const Tick to_last = record.finished - request.arrival;
    ttft.add(seconds_of(to_first));
    e2e.add(seconds_of(to_last));
    queue.add(seconds_of(record.scheduled - request.arrival));
    double per_token = 0;
    if (request.output_tokens > 1) {
      per_token = seconds_of(record.finished - record.first_token) / (request.output_tokens - 1);
      tpot.add(per_token);
      if (per_token > 0) per_user.add(1 / per_token);
    }
    input.add(request.input_tokens);
    output.add(request.output_tokens);
    result.input_tokens += request.input_tokens;
    result.output_tokens += request.output_tokens;
    result.cached_tokens += record.cached_tokens;
    ++of_class.served;
    of_class.output_tokens += request.output_tokens;
    if (to_first <= bound.ttft && per_token <= bound.tpot_s && to_last <= bound.e2e) {
      ++of_class.good;
      of_class.good_output_tokens += request.output_tokens;
      ++result.good_requests;
      result.good_output_tokens += request.output_tokens;
    }
    count_tokens(record.first_token, 1);
    trend->waited(request.arrival, record.scheduled);
  }

  MetricsSettings settings;
  std::vector<Bounds> bounds;
  ValueSample ttft, tpot, e2e, queue, input, output, per_user, itl;
  std::vector<std::int64_t> tokens_in_second;
  std::optional<QueueTrend> trend;  // once the window is open
  Tick begin = kNever, end = 0;
  std::int64_t concurrent = 0;
  ServingMetrics result;
};

MetricsRecorder::MetricsRecorder(const MetricsSettings& settings,
                                 const std::vector<RequestClass>& classes)
    : impl_(std::make_unique<Impl>(settings, classes)) {}

MetricsRecorder::~MetricsRecorder() = default;

void MetricsRecorder::arrived(const Request& request) {
  Impl& m = *impl_;
  ++m.result.all_arrived;
  m.result.all_input_arrived += request.input_tokens;
  if (!m.trend && m.result.all_arrived > m.settings.warm_up_requests) {
    m.open(std::max(request.arrival, to_tick(m.settings.warm_up)));
  }
  ++m.concurrent;
  if (request.arrival >= m.begin) {
    m.result.max_concurrent_requests = std::max(m.result.max_concurrent_requests, m.concurrent);
  }
}

void MetricsRecorder::finished(const RequestRecord& record) {
  Impl& m = *impl_;
  const auto outcome = static_cast<std::size_t>(record.outcome);
  ++m.result.all_finished;
  m.result.all_input_tokens[outcome] += record.request.input_tokens;
  --m.concurrent;
  if (record.request.arrival < m.begin) return;
  m.end = std::max(m.end, record.finished);
  ++m.result.requests;
  ++m.result.outcomes[outcome];
  ++m.result.classes[static_cast<std::size_t>(record.request.slo_class)].requests;
  m.result.preemptions += record.preemptions;
  if (record.outcome == Outcome::served) m.add_served(record);
}

void MetricsRecorder::token_gaps(Tick when, Tick gap, std::int64_t count) {
  Impl& m = *impl_;
  if (when < m.begin) return;
  m.itl.add(seconds_of(gap), count);
  m.count_tokens(when, count);
}

ServingMetrics MetricsRecorder::metrics() {
  Impl& m = *impl_;
  ServingMetrics result = m.result;
  if (m.trend) {
    result.begin_s = seconds_of(m.begin);
    result.end_s = seconds_of(m.end);
    result.saturation = saturation_of(*m.trend, result.outcomes[3], result.requests);
  }
  const std::vector<double>& asked = m.settings.percentiles;
  result.ttft_s = m.ttft.distribution(asked);
  result.tpot_s = m.tpot.distribution(asked);
  result.itl_s = m.itl.distribution(asked);
  result.e2e_s = m.e2e.distribution(asked);
  result.queue_s = m.queue.distribution(asked);
  result.input_lengths = m.input.distribution(asked);
  result.output_lengths = m.output.distribution(asked);
  result.tokens_per_s_per_user = m.per_user.distribution(asked);
  for (const std::int64_t tokens : m.tokens_in_second) {
    result.max_output_tokens_per_s = std::max(result.max_output_tokens_per_s, tokens);
  }
  return result;
}

std::vector<NamedValue> named_values(const ServingMetrics& metrics) {
  std::vector<NamedValue> values;
  const auto add = [&](const std::string& name, double value) { values.push_back({name, value}); };
  add("request_throughput_per_s", metrics.request_throughput());
  add("input_throughput_per_s", metrics.input_throughput());
  add("output_throughput_per_s", metrics.output_throughput());
  add("request_goodput_per_s", metrics.request_goodput());
  add("token_goodput_per_s", metrics.token_goodput());
  add("goodput_share", metrics.goodput_share());
  add("refused_share", metrics.refused_share());
  add("cached_share", metrics.cached_share());
  const auto add_distribution = [&](const std::string& name, const Distribution& values_of) {
    add("mean_" + name, values_of.mean);
    add("median_" + name, values_of.median);
    for (const auto& [p, value] : values_of.percentiles) {
      if (p == 90 || p == 95 || p == 99) {
        add("p" + std::to_string(static_cast<int>(p)) + "_" + name, value);
      }
    }
  };
  add_distribution("ttft_s", metrics.ttft_s);
  add_distribution("tpot_s", metrics.tpot_s);
  add_distribution("itl_s", metrics.itl_s);
  add_distribution("e2e_s", metrics.e2e_s);
  add_distribution("queue_s", metrics.queue_s);
  add_distribution("tokens_per_s_per_user", metrics.tokens_per_s_per_user);
  return values;
}

std::vector<MetricInterval> confidence_intervals(std::span<const ServingMetrics> runs,
                                                 double confidence) {
  ENSURE(!runs.empty() && confidence > 0 && confidence < 1);
  std::vector<std::vector<NamedValue>> all;
  for (const ServingMetrics& run : runs) all.push_back(named_values(run));
  std::vector<MetricInterval> intervals;
  const auto n = static_cast<double>(runs.size());
  for (std::size_t i = 0; i < all[0].size(); ++i) {
    MetricInterval interval{all[0][i].name, 0, 0, runs.size()};
    for (const auto& run : all) {
      ENSURE(run[i].name == interval.name);
      interval.mean += run[i].value / n;
    }
    if (runs.size() > 1) {
      double squares = 0;
      for (const auto& run : all) {
        squares += (run[i].value - interval.mean) * (run[i].value - interval.mean);
      }
      interval.half_width =
          student_quantile((1 + confidence) / 2, n - 1) * std::sqrt(squares / (n - 1) / n);
    }
    intervals.push_back(interval);
  }
  return intervals;
}

}  // namespace moesim
