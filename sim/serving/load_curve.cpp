#include "sim/serving/load_curve.hpp"

#include <algorithm>
#include <cmath>

#include "model/parallel_for.hpp"

namespace moesim {
namespace {

constexpr double kSlowest = 1.0 / 64, kFastest = 64;
// Where the knee is known already, a short trace may be over before its queue is seen to grow.
constexpr double kFastestBeyondKnee = 16;
// Of the way between the last load that holds and the first that does not: a factor of 2 becomes
// one of 1.09.
constexpr int kHalvings = 3;

// Requests of the scenario over the time in which they come, read through once.
double offered_per_s(const ServingScenario& scenario) {
  const std::unique_ptr<RequestSource> source = make_source(*scenario.requests, scenario.seed);
  double requests = 0;
  Tick first = 0, last = 0;
  while (source->next_arrival()) {
    const Request request = source->take();
    if (scenario.measure.stop_after && request.arrival > to_tick(*scenario.measure.stop_after))
      break;
    if (requests == 0) first = request.arrival;
    last = request.arrival;
    ++requests;
    source->finished(request, request.arrival);
  }
  return last > first ? (requests - 1) / to_seconds(last - first).in(s) : 0;
}

class CurveSearch {
 public:
  CurveSearch(const ServingScenario& scenario, const std::vector<PoolSetup>& pools, int num_threads)
      : scenario_(scenario), pools_(pools), num_threads_(num_threads) {
    if (!scenario.measure.slo.empty())
      bounds_ = parse_slo(scenario.measure.slo, scenario.measure.slo_place);
    if (!waits_for_answers(*scenario.requests)) offered_per_s_ = offered_per_s(scenario);
  }

  LoadCurve run() {
    look_at({0.25, 0.5, 0.75, 1, 1.25, 1.5});
    // Up to where the queue grows, and down to where something holds.
    while (!curve_.points.back().is_saturated &&
           fastest() < (has_knee() ? kFastestBeyondKnee : kFastest))
      look_at({1.5 * fastest(), 2.25 * fastest()});
    while (first_failing() == 0 && slowest() > kSlowest) look_at({slowest() / 2, slowest() / 4});
    for (int i = 0; i < kHalvings && has_knee(); ++i) {
      const std::size_t fails = first_failing();
      look_at({std::sqrt(curve_.points[fails - 1].speed * curve_.points[fails].speed)});
    }
    if (has_knee()) curve_.knee = LoadKnee{first_failing() - 1, first_failing()};
    return std::move(curve_);
  }

 private:
  double fastest() const { return curve_.points.back().speed; }
  double slowest() const { return curve_.points.front().speed; }
  std::size_t first_failing() const {
    return static_cast<std::size_t>(std::find_if(curve_.points.begin(),
                                                 curve_.points.end(),
                                                 [](const LoadPoint& p) { return !p.holds; }) -
                                    curve_.points.begin());
  }
  bool has_knee() const { return first_failing() > 0 && first_failing() < curve_.points.size(); }

  void look_at(const std::vector<double>& speeds) {
    std::vector<LoadPoint> found(speeds.size());
    std::vector<std::int64_t> simulated(speeds.size());
    parallel_for(speeds.size(), num_threads_, [&](std::size_t i) {
      const ServingScenario faster = at_speed(scenario_, speeds[i]);
      const SeedRun run = serve_requests(faster, pools_, faster.seed, bounds_);
      simulated[i] = run.simulated;
      found[i] = point_of(speeds[i], run);
    });
    for (std::size_t i = 0; i < speeds.size(); ++i) {
      curve_.points.push_back(std::move(found[i]));
      curve_.num_simulated += simulated[i];
    }
    std::sort(curve_.points.begin(),
              curve_.points.end(),
              [](const LoadPoint& a, const LoadPoint& b) { return a.speed < b.speed; });
  }

  LoadPoint point_of(double speed, const SeedRun& run) const {
    const ServingMetrics& m = run.metrics;
    LoadPoint point;
    point.speed = speed;
    point.requests_per_s = offered_per_s_ ? speed * *offered_per_s_ : m.request_throughput();
    point.output_tokens_per_s = m.output_throughput();
    point.ttft_p50_s = m.ttft_s.median;
    point.ttft_p99_s = m.ttft_s.percentile(99);
    point.tpot_p50_s = m.tpot_s.median;
    point.tpot_p99_s = m.tpot_s.percentile(99);
    point.is_saturated = m.saturation.is_saturated;
    point.holds = !point.is_saturated && (!run.slo || run.slo->holds);
    if (point.is_saturated)
      point.binding = "the queue grows";
    else if (run.slo)
      point.binding = run.slo->checks[run.slo->binding].bound.text;
    return point;
  }

  const ServingScenario& scenario_;
  const std::vector<PoolSetup>& pools_;
  int num_threads_;
  std::vector<SloBound> bounds_;
  std::optional<double>
      offered_per_s_;  // as the scenario has it; none where users wait for answers
  LoadCurve curve_;
};

void speed_up(ArrivalSpec& arrivals, double speed) {
  if (arrivals.kind == ArrivalKind::closed_loop) {
    arrivals.concurrency =
        std::max<std::int64_t>(1, std::llround(speed * static_cast<double>(arrivals.concurrency)));
    return;
  }
  arrivals.rate_per_s *= speed;
  for (double& rate : arrivals.hourly_rates_per_s) rate *= speed;
  for (ArrivalSpec::State& state : arrivals.states) {
    state.rate_per_s *= speed;
    state.mean_stay = state.mean_stay / speed;
  }
  arrivals.compression *= speed;
}

}  // namespace

ServingScenario at_speed(ServingScenario scenario, double speed) {
  ENSURE(scenario.requests && speed > 0);
  RequestSpec& requests = *scenario.requests;
  const bool is_closed = requests.arrivals && requests.arrivals->kind == ArrivalKind::closed_loop;
  if (requests.arrivals) speed_up(*requests.arrivals, speed);
  if (is_closed) return scenario;
  if (requests.trace) {
    requests.trace->time_scale /= speed;
    requests.trace->jitter = requests.trace->jitter / speed;
  }
  if (requests.duration) requests.duration = *requests.duration / speed;
  scenario.measure.warm_up = scenario.measure.warm_up / speed;
  if (scenario.measure.stop_after)
    scenario.measure.stop_after = *scenario.measure.stop_after / speed;
  return scenario;
}

LoadCurve load_curve(const ServingScenario& scenario,
                     const std::vector<PoolSetup>& pools,
                     int num_threads) {
  ENSURE(scenario.requests);
  return CurveSearch(scenario, pools, num_threads).run();
}

}  // namespace moesim
