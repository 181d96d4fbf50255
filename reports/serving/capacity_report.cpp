#include "reports/serving/capacity_report.hpp"

#include "reports/format.hpp"
#include "reports/inputs.hpp"
#include "reports/serving/serving_sections.hpp"
#include "reports/verdict.hpp"

namespace moesim {
namespace {

using Pools = std::vector<PoolSpec>;

std::string slo_of(const std::vector<SloBound>& bounds) {
  std::string text;
  for (const SloBound& bound : bounds) text += (text.empty() ? "" : ",") + bound.text;
  return text;
}

std::string units_text(const Pools& pools, const std::vector<std::int64_t>& units) {
  std::string text;
  for (std::size_t i = 0; i < units.size(); ++i)
    text += (i == 0 ? "" : " + ") + std::to_string(units[i]) + " " + pools[i].name;
  return text;
}

std::string margin_text(const CapacityPoint& point) {
  return point.found.binding + ", " +
         (point.found.margin >= 0 ? format_percent(point.found.margin) + " to spare"
                                  : format_percent(-point.found.margin) + " past it");
}

Section verdict_section(const ServingScenario& scenario, const CapacityPlan& plan) {
  const Pools& pools = scenario.serving.pools;
  const CapacityPoint& point = plan.search.best ? *plan.search.best : plan.search.closest;
  Section section{"Verdict", {}, {}, {}};
  Table table{"", {"question", "answer"}, {}};
  std::vector<GpuGroup> groups;
  for (std::size_t i = 0; i < pools.size(); ++i) {
    const auto gpus =
        static_cast<double>(pools[i].plan.num_gpus() * (point.units[i] + plan.spares[i].units));
    groups.push_back({&pools[i].cluster, gpus, gpus});
  }
  add_machine_rows(groups, table);
  if (!plan.search.best) table.rows.front().back() += ", which are NOT enough";
  const SeedRun& run = *plan.run;
  const double rate = run.metrics.output_throughput();
  table.rows.push_back({"rate",
                        format_count(rate) + " output tokens/s, " +
                            digits4(rate / static_cast<double>(point.gpus)) + " a GPU in use"});
  if (run.cost.all_per_million_output)
    table.rows.push_back({"whole cost of a million output tokens",
                          format_usd(run.cost.all_per_million_output->in(USD))});
  table.rows.push_back({"what binds", margin_text(point)});
  section.tables.push_back(std::move(table));
  section.notes.push_back(
      plan.search.complete
          ? "The answer is of one seed and of the calibration as it is; `moesim run` shows its "
            "intervals. One unit less of any pool does not hold: it was simulated, or throughput "
            "alone rules it out."
          : "The budget of simulations ran out: fewer GPUs may do.");
  return section;
}

Section answer_section(const ServingScenario& scenario,
                       const std::vector<SloBound>& bounds,
                       const CapacityPlan& plan) {
  const Pools& pools = scenario.serving.pools;
  Section section{"Answer", {}, {}, {}};
  Table table{"", {"quantity", "value"}, {}};
  const auto add = [&](const std::string& name, const std::string& value) {
    table.rows.push_back({name, value});
  };
  add("service level", slo_of(bounds));
  const CapacityPoint& point = plan.search.best ? *plan.search.best : plan.search.closest;
  add(plan.search.best ? "fewest GPUs" : "closest, which does NOT hold",
      std::to_string(point.gpus) + ": " + units_text(pools, point.units) + " units");
  add("bound from throughput alone", units_text(pools, plan.least) + " units");
  for (std::size_t i = 0; i < pools.size(); ++i)
    if (plan.spares[i].availability < 1)
      add("spares of " + pools[i].name,
          std::to_string(plan.spares[i].units) +
              " units, so that enough are up 99.9 % of the time "
              "(one is " +
              format_percent(plan.spares[i].availability) + ")");
  const SeedRun& run = *plan.run;
  for (const SloCheck& check : run.slo->checks) add("there", slo_text(check));
  add("cost of an hour there",
      format_usd((run.cost.total * (3600 / to_seconds(run.cluster.end).in(s))).in(USD)));
  if (run.cost.per_million_input)
    add("a million input tokens", format_usd(run.cost.per_million_input->in(USD)));
  if (run.cost.per_million_output)
    add("a million output tokens", format_usd(run.cost.per_million_output->in(USD)));
  section.tables.push_back(std::move(table));
  for (const CapacitySurprise& surprise : plan.search.surprises)
    section.notes.push_back(units_text(pools, surprise.holds.units) + " hold, but " +
                            units_text(pools, surprise.fails.units) +
                            " do not: more units are not always better, because requests share "
                            "steps with others then.");
  return section;
}

Chart margin_chart(const Pools& pools, const CapacityPlan& plan) {
  XyChart chart;
  chart.x = {"GPUs", "", false};
  chart.y = {"room of the nearest bound", "%", false};
  XyChart::Series holds{"holds", XyChart::Drawn::points, {}, {}},
      fails{"does not hold", XyChart::Drawn::points, {}, {}};
  for (const CapacityPoint& point : plan.search.evaluated) {
    XyChart::Series& series = point.found.holds ? holds : fails;
    series.points.emplace_back(static_cast<double>(point.gpus), 100 * point.found.margin);
    series.point_names.push_back(units_text(pools, point.units));
  }
  for (XyChart::Series* series : {&holds, &fails})
    if (!series->points.empty()) chart.series.push_back(std::move(*series));
  if (plan.search.best)
    chart.marks.push_back({"the answer",
                           static_cast<double>(plan.search.best->gpus),
                           100 * plan.search.best->found.margin});
  return {"Room to the service level against GPUs",
          "Below zero a bound is past; every point is a simulation.",
          std::move(chart)};
}

Section sweep_section(const Pools& pools, const CapacityPlan& plan) {
  Section section{"Around the answer", {}, {}, {}};
  const auto table_of = [&](const char* title, const std::vector<CapacityPoint>& points) {
    Table table{title, {"units", "GPUs", "holds", "binding"}, {}};
    for (const CapacityPoint& point : points)
      table.rows.push_back({units_text(pools, point.units),
                            std::to_string(point.gpus),
                            point.found.holds ? "yes" : "no",
                            margin_text(point)});
    return table;
  };
  if (!plan.search.sweep.empty())
    section.tables.push_back(
        table_of("Fewest of the second pool for each number of the first", plan.search.sweep));
  section.tables.push_back(table_of("Everything that was simulated", plan.search.evaluated));
  section.charts.push_back(margin_chart(pools, plan));
  return section;
}

JsonValue point_json(const Pools& pools, const CapacityPoint& point) {
  JsonValue units = JsonValue::object();
  for (std::size_t i = 0; i < point.units.size(); ++i) units.set(pools[i].name, point.units[i]);
  return JsonValue::object()
      .set("units", std::move(units))
      .set("gpus", point.gpus)
      .set("holds", point.found.holds)
      .set("margin", point.found.margin)
      .set("binding", point.found.binding);
}

}  // namespace

Report capacity_report(const ServingScenario& scenario,
                       const std::vector<SloBound>& bounds,
                       const CapacityPlan& plan,
                       const std::vector<InputRow>& inputs) {
  Report report;
  report.title = scenario.name + ": capacity";
  report.facts = {{"scenario", scenario.description},
                  {"model", scenario.model.name},
                  {"scenario hash", scenario.hash},
                  {"profile", scenario.profile.id},
                  {"seed", std::to_string(scenario.seed)}};
  if (!plan.feasible) {
    report.warnings.push_back("a pool does not fit in memory; see the table");
  } else {
    report.sections = {verdict_section(scenario, plan),
                       answer_section(scenario, bounds, plan),
                       sweep_section(scenario.serving.pools, plan)};
    ServingRun run;
    run.pools = plan.pools;
    run.runs = {*plan.run};
    const std::optional<ServingUncertainty> none;
    const ServingReportInput input{scenario, run, none, {}, {}};
    for (const auto& builder : {serving_latency_section,
                                serving_speed_section,
                                serving_series_section,
                                serving_pools_section,
                                serving_cost_section})
      if (auto section = builder(input)) report.sections.push_back(std::move(*section));
  }
  ServingRun memory_only;
  memory_only.pools = plan.pools;
  const std::optional<ServingUncertainty> none;
  if (auto section = serving_memory_section({scenario, memory_only, none, {}, {}}))
    report.sections.push_back(std::move(*section));
  for (auto section : {assumptions_section(scenario.assumptions), inputs_section(inputs)})
    if (section) report.sections.push_back(std::move(*section));
  return report;
}

JsonValue capacity_json(const ServingScenario& scenario,
                        const std::vector<SloBound>& bounds,
                        const CapacityPlan& plan) {
  const Pools& pools = scenario.serving.pools;
  JsonValue document = JsonValue::object();
  document.set("schema_version", 1)
      .set("scenario", JsonValue::object().set("name", scenario.name).set("hash", scenario.hash))
      .set("slo", slo_of(bounds))
      .set("feasible", plan.feasible && plan.search.best.has_value());
  if (!plan.feasible) return document;
  JsonValue least = JsonValue::object(), spares = JsonValue::object();
  for (std::size_t i = 0; i < pools.size(); ++i) {
    least.set(pools[i].name, plan.least[i]);
    spares.set(pools[i].name, plan.spares[i].units);
  }
  document.set("best", plan.search.best ? point_json(pools, *plan.search.best) : JsonValue())
      .set("closest", point_json(pools, plan.search.closest))
      .set("least_units_by_throughput", std::move(least))
      .set("spare_units", std::move(spares))
      .set("complete", plan.search.complete);
  JsonValue sweep = JsonValue::array(), evaluated = JsonValue::array(),
            surprises = JsonValue::array();
  for (const CapacityPoint& point : plan.search.sweep) sweep.push(point_json(pools, point));
  for (const CapacityPoint& point : plan.search.evaluated) evaluated.push(point_json(pools, point));
  for (const CapacitySurprise& s : plan.search.surprises)
    surprises.push(JsonValue::object()
                       .set("holds", point_json(pools, s.holds))
                       .set("fails", point_json(pools, s.fails)));
  return document.set("sweep", std::move(sweep))
      .set("evaluated", std::move(evaluated))
      .set("surprises", std::move(surprises));
}

}  // namespace moesim
