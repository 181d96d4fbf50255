#include "sim/goodput_sampling.hpp"

#include <algorithm>
#include <cmath>
#include <deque>

#include "model/parallel_for.hpp"
#include "model/random.hpp"

namespace moesim {
namespace {

// Names the stream of random numbers: other users of the scenario's seed draw others.
constexpr std::uint64_t kStream = 0x676f6f64;

// Places are seconds of work and pauses since the run began, as if nothing failed.
class CheckpointPlaces {
 public:
  explicit CheckpointPlaces(const RunOutline& outline) : settling_(outline.settling.in(s)) {
    for (const Stretches& x : outline.stretches) {
      groups_.push_back({end_, x.count, x.length.in(s)});
      end_ += x.count * x.length.in(s);
    }
  }
  double end() const { return end_ + settling_; }
  // Of the last checkpoint that is settled at `place`; 0 is the start of the run.
  double settled_before(double place) const {
    const double taken = place - settling_;
    if (taken <= 0) return 0;
    const auto after =
        std::upper_bound(groups_.begin(), groups_.end(), taken, [](double x, const Group& g) {
          return x < g.start;
        });
    const Group& g = *(after - 1);
    return g.start + std::min(g.count, std::floor((taken - g.start) / g.length)) * g.length;
  }

 private:
  struct Group {
    double start, count, length;
  };
  std::vector<Group> groups_;
  double end_ = 0, settling_ = 0;
};

RunTimes sample_run(const RunOutline& o, const CheckpointPlaces& places, Random& random) {
  RunTimes t;
  t.ideal = o.ideal;
  t[LostTo::stragglers] = o.stragglers;
  t[LostTo::evaluation] = o.evaluation;
  t[LostTo::checkpoint] = o.pauses;
  const auto until_failure = [&] { return -std::log(random.uniform()) / o.rate; };
  double clock = 0;               // seconds of the calendar
  double place = 0, settled = 0;  // settled: where the run goes back to
  std::deque<double> in_repair;   // when each node is back, in order
  const auto go_down = [&] {
    t.interruptions += 1;
    t[LostTo::detection] += o.detection;
    clock += o.detection.in(s);
    if (!o.spares || random.uniform() >= o.node_share) return;
    while (!in_repair.empty() && in_repair.front() <= clock) in_repair.pop_front();
    in_repair.push_back(clock + o.spares->repair.in(s));
    if (static_cast<std::int64_t>(in_repair.size()) > o.spares->nodes) {
      t[LostTo::spare_wait] += (in_repair.front() - clock) * s;
      clock = in_repair.front();
      in_repair.pop_front();
    }
    t[LostTo::swap] += o.spares->swap;
    clock += o.spares->swap.in(s);
  };
  while (o.rate > 0) {
    const double worked = until_failure();
    if (place + worked >= places.end()) break;
    clock += worked;
    place += worked;
    settled = std::max(settled, places.settled_before(place));
    t[LostTo::recomputed] += (place - settled) * s;
    place = settled;
    go_down();
    const double restart = o.restart.in(s);
    for (double tried = until_failure(); tried < restart; tried = until_failure()) {
      t[LostTo::restart] += tried * s;
      clock += tried;
      go_down();
    }
    t[LostTo::restart] += o.restart;
    clock += restart;
  }
  add_maintenance(o, t);
  return t;
}

}  // namespace

std::vector<RunTimes> sample_runs(const RunOutline& outline,
                                  std::uint64_t seed,
                                  std::size_t num_runs,
                                  int num_threads) {
  const CheckpointPlaces places(outline);
  std::vector<RunTimes> samples(num_runs);
  parallel_for(num_runs, num_threads, [&](std::size_t i) {
    Random random(seed, kStream, i);
    samples[i] = sample_run(outline, places, random);
  });
  return samples;
}

Interval chance_interval(const std::vector<RunTimes>& samples,
                         const std::function<double(const RunTimes&)>& number) {
  ENSURE(!samples.empty());
  std::vector<double> values;
  for (const RunTimes& t : samples) values.push_back(number(t));
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double p) {
    return values[static_cast<std::size_t>(p * static_cast<double>(values.size() - 1) + 0.5)];
  };
  return {quantile(0.05), quantile(0.95)};
}

Interval operations_interval(
    const RunResult& run,
    const std::optional<Uncertainty>& uncertainty,
    double highest,
    const std::function<double(const OperationsResult&, const RunTimes&)>& number) {
  const auto expected = [&](const RunResult& r) {
    return number(*r.operations, r.operations->expected);
  };
  const Interval chance = chance_interval(
      run.operations->samples, [&](const RunTimes& t) { return number(*run.operations, t); });
  EndValues ends = {{chance.low, chance.high}};
  if (uncertainty) {
    const Interval calibration = interval_of(run, *uncertainty, expected);
    ends.push_back({calibration.low, calibration.high});
  }
  const Interval both = combined(expected(run), ends);
  return {std::max(0.0, both.low), std::min(highest, both.high)};
}

}  // namespace moesim
