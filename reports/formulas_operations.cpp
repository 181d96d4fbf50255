#include "reports/formulas_operations.hpp"

#include <algorithm>
#include <cmath>

#include "sim/checkpoint_interval.hpp"
#include "sim/goodput.hpp"

namespace moesim {
namespace {

const Operations& operations_of(const FormulaInputs& in, const Scenario& scenario) {
  if (!scenario.operations || scenario.operations->failures.empty())
    throw InputError(in.place(), "this formula needs a scenario with failures in its operations");
  return *scenario.operations;
}

// Failures a second.
double rate_of(const FormulaInputs& in, const Scenario& scenario) {
  ClusterSpec cluster = scenario.cluster;
  cluster.gpus_per_node = in.whole("gpus_per_node");
  cluster.num_nodes = in.whole("gpus") / cluster.gpus_per_node;
  double rate = 0;
  for (const ComponentFailures& f : operations_of(in, scenario).failures) {
    if (f.per == FailureUnit::network_switch)
      throw InputError(in.place(), "failures per switch: the cluster asked for has no fabric");
    rate += units_in(cluster, f.per) / f.mtbf.in(s);
  }
  return rate;
}

}  // namespace

double failures_in(const FormulaInputs& in, const Scenario& scenario) {
  return rate_of(in, scenario) * (in.number("days") * day).in(s);
}

double effective_time_ratio(const FormulaInputs& in, const Scenario& scenario) {
  RunOutline o;
  o.rate = rate_of(in, scenario);
  o.ideal = in.number("days") * day;
  o.detection = in.number("detection_s") * s;
  o.restart = in.number("restart_s") * s;
  o.settling = in.number("write_s") * s;
  const Seconds pause = in.number("pause_s") * s;
  const Seconds best = std::max(best_interval(pause, 1 / o.rate * s), o.settling);
  const double checkpoints = std::max(1.0, std::round(o.ideal / best));
  o.stretches = {{checkpoints, o.ideal / checkpoints + pause}};
  o.pauses = checkpoints * pause + o.settling;
  if (auto planned = operations_of(in, scenario).maintenance) {
    planned->pause = in.number("planned_pause_s") * s;
    o.maintenance_share = planned->share_of_time();
  }
  const RunTimes times = expected_times(o);
  return times.trained() / times.wall();
}

}  // namespace moesim
