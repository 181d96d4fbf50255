#include "sim/goodput.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/json_message.hpp"
#include "sim/checkpoint_interval.hpp"
#include "sim/stragglers.hpp"

namespace moesim {
namespace {

// A run that takes this many times what it would without failures gets no further by waiting.
constexpr double kMostTimesLonger = 100;

bool is_compute(Category c) {
  return c != Category::exposed_comm && c != Category::peer_wait && c != Category::bubble &&
         c != Category::optimizer;
}

double compute_share(const PhaseResult& phase) {
  double compute = 0, all = 0;
  for (std::size_t c = 0; c < kNumCategories; ++c) {
    all += phase.category_s[c];
    if (is_compute(static_cast<Category>(c))) compute += phase.category_s[c];
  }
  return all > 0 ? compute / all : 0;
}

// Phases as time passes: a ramp stands behind all phases in the list but opens its own.
std::vector<const PhaseResult*> simulated_in_time(const RunResult& run) {
  std::vector<const PhaseResult*> in_time;
  for (std::size_t i = 0; i < run.phases.size(); ++i) {
    if (run.phases[i].phase.ramp_of) continue;
    for (const PhaseResult& ramp : run.phases)
      if (ramp.phase.ramp_of == i) in_time.push_back(&ramp);
    if (!run.phases[i].phase.stated_gpu_hours) in_time.push_back(&run.phases[i]);
  }
  return in_time;
}

double slowest_of(const Scenario& scenario) {
  const auto& stragglers = scenario.operations->stragglers;
  return stragglers ? slowest_node(*stragglers, scenario.cluster.num_nodes) : 1;
}

double failure_rate(const Scenario& scenario, bool nodes_only) {
  double rate = 0;
  for (const ComponentFailures& f : scenario.operations->failures)
    if (!nodes_only || f.takes_node()) rate += units_in(scenario.cluster, f.per) / f.mtbf.in(s);
  return rate;
}

// A step of a phase with its share of slow nodes and of evaluation.
struct StepCost {
  double steps = 0;
  Seconds ideal, stragglers, evaluation;
  Seconds all() const { return ideal + stragglers + evaluation; }
};

std::vector<StepCost> step_costs(const Scenario& scenario, const RunResult& run) {
  const Operations& operations = *scenario.operations;
  const double slowest = slowest_of(scenario);
  double num_steps = 0;
  std::vector<StepCost> costs;
  for (const PhaseResult* phase : simulated_in_time(run)) {
    const Seconds ideal = phase->step_time;
    costs.push_back({phase->num_steps, ideal, (slowest - 1) * compute_share(*phase) * ideal, {}});
    num_steps += phase->num_steps;
  }
  if (operations.evaluation) {
    const double evaluations =
        std::floor(num_steps / static_cast<double>(operations.evaluation->every_steps));
    for (StepCost& c : costs)
      c.evaluation = operations.evaluation->pause * (evaluations / num_steps);
  }
  return costs;
}

// Cuts the steps into stretches. An interval may span phases: what is done of it counts as its
// share in either. The run ends with a checkpoint of its own, unless so little is left that the one
// before would not be settled: then that one is left out.
class StretchCutter {
 public:
  StretchCutter(Seconds pause, Seconds settling) : pause_(pause), settling_(settling) {}
  void add(const StepCost& cost, double interval) {
    constexpr double kWhole = 1e-9;  // rounding of a share of an interval
    double steps = cost.steps;
    const double first = std::min(steps, (1 - done_) * interval);
    open_ += first * cost.all();
    done_ += first / interval;
    steps -= first;
    if (done_ < 1 - kWhole) return;
    close();
    const double whole = std::floor(steps / interval + kWhole);
    if (whole > 0) stretches_.push_back({whole, interval * cost.all() + pause_});
    const double rest = std::max(0.0, steps - whole * interval);
    open_ = rest * cost.all();
    done_ = rest / interval;
  }
  std::vector<Stretches> finish() {
    if (open_ > Seconds()) {
      if (open_ < settling_ && !stretches_.empty()) {
        Stretches& last = stretches_.back();
        open_ += last.length - pause_;
        last.count -= 1;
        if (last.count == 0) stretches_.pop_back();
      }
      close();
    }
    return std::move(stretches_);
  }

 private:
  void close() {
    stretches_.push_back({1, open_ + pause_});
    open_ = Seconds();
    done_ = 0;
  }
  Seconds pause_, settling_, open_;
  double done_ = 0;  // share of the interval that is open
  std::vector<Stretches> stretches_;
};

}  // namespace

Seconds RunTimes::wall() const { return std::accumulate(lost.begin(), lost.end(), ideal); }

Seconds RunOutline::work() const {
  Seconds sum;
  for (const Stretches& x : stretches) sum += x.count * x.length;
  return sum;
}

double erlang_loss(std::int64_t servers, double load) {
  double loss = 1;
  for (std::int64_t k = 1; k <= servers; ++k)
    loss = load * loss / (static_cast<double>(k) + load * loss);
  return loss;
}

void add_maintenance(const RunOutline& outline, RunTimes& times) {
  const double share = outline.maintenance_share;
  times[LostTo::maintenance] = share / (1 - share) * (times.wall() - outline.stated);
}

RunTimes expected_times(const RunOutline& o) {
  RunTimes t;
  t.ideal = o.ideal;
  t[LostTo::stragglers] = o.stragglers;
  t[LostTo::evaluation] = o.evaluation;
  t[LostTo::checkpoint] = o.pauses;
  if (o.rate > 0) {
    const double w = o.settling.in(s), r = o.restart.in(s);
    const auto add = [&](double count, double length, double settling) {
      const double growth = std::expm1(o.rate * length) * std::exp(o.rate * settling);
      t.interruptions += count * growth * std::exp(o.rate * r);
      t[LostTo::recomputed] += count * (growth / o.rate - length) * s;
    };
    bool first = true;
    for (const Stretches& x : o.stretches) {
      if (first) add(1, x.length.in(s) + w, 0);
      add(x.count - (first ? 1 : 0), x.length.in(s), w);
      first = false;
    }
    t[LostTo::restart] = t.interruptions * (-std::expm1(-o.rate * r) / o.rate) * s;
    t[LostTo::detection] = t.interruptions * o.detection;
    if (o.spares) {
      const double nodes = t.interruptions * o.node_share;
      t[LostTo::swap] = nodes * o.spares->swap;
      const Seconds at_work = t.wall() - o.stated;
      const double waiting = erlang_loss(o.spares->nodes + 1, nodes * (o.spares->repair / at_work));
      t[LostTo::spare_wait] = waiting / (1 - waiting) * at_work;
    }
  }
  add_maintenance(o, t);
  return t;
}

double steps_per_checkpoint(const Checkpoints& checkpoints,
                            Seconds step,
                            Seconds pause,
                            double failure_rate) {
  if (checkpoints.kind == CheckpointInterval::steps) return static_cast<double>(checkpoints.steps);
  if (checkpoints.kind == CheckpointInterval::time)
    return std::max(1.0, std::round(checkpoints.time / step));
  const double at_least = std::max(1.0, std::ceil(checkpoints.settling() / step));
  const double best = best_interval(pause, 1 / failure_rate * s) / step;
  const auto cost = [&](double steps) {  // time per step, but for a factor
    return std::expm1(failure_rate * (steps * step + pause).in(s)) / steps;
  };
  const double below = std::max(1.0, std::floor(best));
  return std::max(at_least, cost(below + 1) < cost(below) ? below + 1 : below);
}

RunOutline outline_of(const Scenario& scenario, const RunResult& run) {
  const Operations& operations = *scenario.operations;
  RunOutline o;
  for (const PhaseResult& phase : run.phases)
    if (phase.phase.stated_gpu_hours)
      o.stated += phase.gpu_hours / static_cast<double>(scenario.cluster.num_gpus()) * hour;
  o.ideal = o.stated;
  const std::vector<StepCost> costs = step_costs(scenario, run);
  for (const StepCost& c : costs) {
    o.ideal += c.steps * c.ideal;
    o.stragglers += c.steps * c.stragglers;
    o.evaluation += c.steps * c.evaluation;
  }
  o.rate = failure_rate(scenario, /*nodes_only=*/false);
  if (o.rate > 0) o.node_share = failure_rate(scenario, /*nodes_only=*/true) / o.rate;
  if (operations.maintenance) o.maintenance_share = operations.maintenance->share_of_time();
  o.spares = operations.spares;
  if (operations.recovery) {
    o.detection = operations.recovery->detection;
    o.restart = operations.recovery->reschedule + operations.checkpoint->load_time() +
                operations.recovery->warm_up;
  }
  if (operations.checkpoint) {
    const Seconds pause = operations.checkpoint->pause(scenario.cluster.num_gpus());
    o.settling = operations.checkpoint->settling();
    StretchCutter cutter(pause, o.settling);
    for (const StepCost& c : costs)
      cutter.add(c, steps_per_checkpoint(*operations.checkpoint, c.all(), pause, o.rate));
    o.stretches = cutter.finish();
    o.pauses = o.settling;
    for (const Stretches& x : o.stretches) o.pauses += x.count * pause;
  }
  return o;
}

OperationsResult operations_result(const Scenario& scenario, const RunResult& run) {
  const Operations& operations = *scenario.operations;
  OperationsResult result;
  result.slowest_node = slowest_of(scenario);
  const std::int64_t spare_nodes = operations.spares ? operations.spares->nodes : 0;
  result.gpus_paid = static_cast<double>((scenario.cluster.num_nodes + spare_nodes) *
                                         scenario.cluster.gpus_per_node);
  const RunOutline outline = outline_of(scenario, run);
  if (outline.rate > 0) result.mtbf = 1 / outline.rate * s;
  if (operations.checkpoint) {
    const Checkpoints& c = *operations.checkpoint;
    CheckpointFacts facts;
    facts.size = c.size;
    facts.pause = c.pause(scenario.cluster.num_gpus());
    facts.write = c.write_time();
    facts.load = c.load_time();
    const StepCost main = [&] {
      const std::vector<const PhaseResult*> phases = simulated_in_time(run);
      const auto at = std::find(phases.begin(), phases.end(), &run.phases.front());
      return step_costs(scenario, run)[static_cast<std::size_t>(at - phases.begin())];
    }();
    facts.steps = steps_per_checkpoint(c, main.all(), facts.pause, outline.rate);
    facts.work = facts.steps * main.all();
    for (const Stretches& x : outline.stretches) facts.written += x.count;
    if (outline.rate > 0) {
      facts.young = young_interval(facts.pause, result.mtbf);
      facts.daly = daly_interval(facts.pause, result.mtbf);
      facts.exact = best_interval(facts.pause, result.mtbf);
    }
    result.checkpoint = facts;
  }
  result.expected = expected_times(outline);
  RunOutline unharmed = outline;
  unharmed.rate = 0;
  const double longer = result.expected.wall() / expected_times(unharmed).wall();
  if (!(longer < kMostTimesLonger))
    result.refusal = "the run would not come to an end: it fails every " +
                     number_text(std::round(result.mtbf.in(s))) + " s and needs " +
                     number_text(std::round((outline.restart + outline.settling +
                                             result.checkpoint->work + result.checkpoint->pause)
                                                .in(s))) +
                     " s without a failure to restart and reach the next checkpoint";
  const double failed = result.refusal.empty() ? result.expected.interruptions : 0;
  for (const ComponentFailures& f : operations.failures) {
    const double units = units_in(scenario.cluster, f.per);
    result.components.push_back(
        {f.component, f.per, units, f.mtbf, failed * units / f.mtbf.in(s) / outline.rate});
  }
  return result;
}

void check_intervals(const Scenario& scenario, const RunResult& run) {
  if (!scenario.operations->checkpoint) return;
  const Checkpoints& c = *scenario.operations->checkpoint;
  const auto text = [](Seconds time) {
    return number_text(std::round(10 * time.in(s)) / 10) + " s";
  };
  Seconds work, shortest;
  for (const StepCost& cost : step_costs(scenario, run)) {
    work += cost.steps * cost.all();
    if (shortest == Seconds() || cost.all() < shortest) shortest = cost.all();
  }
  if (c.kind == CheckpointInterval::time && c.time > work)
    throw InputError(c.interval_place,
                     text(c.time) + " are longer than the run, whose steps take " + text(work));
  const double steps = static_cast<double>(c.steps);
  if (c.kind == CheckpointInterval::steps && c.settling() > steps * shortest)
    throw InputError(c.interval_place,
                     "a checkpoint of " + number_text(std::round(1e3 * c.size.in(TB)) / 1e3) +
                         " TB at " + number_text(c.write.in(GB_per_s)) + " GB/s is written in " +
                         text(c.write_time()) + ", longer than " + std::to_string(c.steps) +
                         " steps of " + text(shortest) + "; it must be done before the next one");
}

}  // namespace moesim
