#include "reports/operations_json.hpp"

#include "sim/goodput_sampling.hpp"

namespace moesim {
namespace {

JsonValue pair(const Interval& interval) {
  return JsonValue::array().push(interval.low).push(interval.high);
}

JsonValue components_json(const OperationsResult& result) {
  JsonValue list = JsonValue::array();
  for (const ComponentInterruptions& c : result.components)
    list.push(JsonValue::object()
                  .set("component", c.component)
                  .set("per", kFailureUnits[static_cast<std::size_t>(c.per)])
                  .set("units", c.units)
                  .set("mtbf_s", c.mtbf.in(s))
                  .set("interruptions", c.expected));
  return list;
}

JsonValue checkpoint_json(const CheckpointFacts& c) {
  JsonValue object = JsonValue::object();
  object.set("size_bytes", c.size.in(B));
  object.set("pause_s", c.pause.in(s));
  object.set("write_s", c.write.in(s));
  object.set("load_s", c.load.in(s));
  object.set("interval_steps", c.steps);
  object.set("interval_s", c.work.in(s));
  object.set("written", c.written);
  if (c.exact > Seconds()) {
    object.set("young_interval_s", c.young.in(s));
    object.set("daly_interval_s", c.daly.in(s));
    object.set("best_interval_s", c.exact.in(s));
  }
  return object;
}

}  // namespace

JsonValue operations_json(const Scenario& scenario,
                          const RunResult& run,
                          const std::optional<Uncertainty>& uncertainty) {
  const OperationsResult& result = *run.operations;
  JsonValue object = JsonValue::object();
  if (!result.components.empty()) {
    object.set("mtbf_s", result.mtbf.in(s));
    object.set("components", components_json(result));
  }
  if (result.checkpoint) object.set("checkpoint", checkpoint_json(*result.checkpoint));
  object.set("slowest_node_compute_ratio", result.slowest_node);
  object.set("gpus_paid", result.gpus_paid);
  if (!result.refusal.empty()) {
    object.set("refusal", result.refusal);
    return object;
  }
  JsonValue time = JsonValue::object(), intervals = JsonValue::object();
  time.set("ideal_s", result.expected.ideal.in(s));
  for (std::size_t cause = 0; cause < kNumLost; ++cause)
    time.set(kLostNames[cause].key, result.expected.lost[cause].in(s));
  time.set("wall_s", result.expected.wall().in(s));
  object.set("time", std::move(time));
  if (result.samples.empty()) return object;
  for (std::size_t cause = 0; cause < kNumLost; ++cause)
    intervals.set(
        kLostNames[cause].key,
        pair(operations_interval(
            run, uncertainty, kUnbounded, [&](const OperationsResult&, const RunTimes& t) {
              return t.lost[cause].in(s);
            })));
  object.set("time_intervals", std::move(intervals));
  JsonValue chance = JsonValue::object();
  double mean = 0;
  for (const RunTimes& t : result.samples)
    mean += t.wall().in(s) / static_cast<double>(result.samples.size());
  for (const RunNumber& number : kRunNumbers)
    chance.set(number.key, pair(chance_interval(result.samples, [&](const RunTimes& t) {
                 return number.of(result, t, scenario.cluster.price);
               })));
  object.set("num_sampled_runs", static_cast<std::int64_t>(result.samples.size()));
  object.set("sampled_mean_wall_time_s", mean);
  object.set("intervals_by_chance_alone", std::move(chance));
  return object;
}

void add_operations_intervals(const Scenario& scenario,
                              const RunResult& run,
                              const std::optional<Uncertainty>& uncertainty,
                              JsonValue& intervals) {
  if (!run.operations || run.operations->samples.empty()) return;
  for (const RunNumber& number : kRunNumbers)
    intervals.set(
        number.key,
        pair(operations_interval(
            run, uncertainty, number.highest, [&](const OperationsResult& r, const RunTimes& t) {
              return number.of(r, t, scenario.cluster.price);
            })));
}

}  // namespace moesim
