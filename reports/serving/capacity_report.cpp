#include "reports/serving/capacity_report.hpp"

#include "reports/format.hpp"
#include "reports/serving/serving_sections.hpp"

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
  add("binding", margin_text(point));
  add("bound from throughput alone", units_text(pools, plan.least) + " units");
  for (std::size_t i = 0; i < pools.size(); ++i)
    if (plan.spares[i].availability < 1)
      add("spares of " + pools[i].name,
          std::to_string(plan.spares[i].units) + " units, so that enough are up 99.9 % of the time "
          "(one is " + format_percent(plan.spares[i].availability) + ")");
  const SeedRun& run = *plan.run;
  for (const SloCheck& check : run.slo->checks) add("there", slo_text(check));
  add("cost of an hour there",
      format_usd((run.cost.total * (3600 / to_seconds(run.cluster.end).in(s))).in(USD)));
  if (run.cost.per_million_input)
    add("a million input tokens", format_usd(run.cost.per_million_input->in(USD)));
  if (run.cost.per_million_output)
    add("a million output tokens", format_usd(run.cost.per_million_output->in(USD)));
  if (run.cost.all_per_million_output)
    add("whole cost over a million output tokens",
        format_usd(run.cost.all_per_million_output->in(USD)));
  section.tables.push_back(std::move(table));
  if (!plan.search.complete)
    section.notes.push_back("The budget of simulations ran out: fewer GPUs may do.");
  for (const CapacitySurprise& surprise : plan.search.surprises)
    section.notes.push_back(units_text(pools, surprise.holds.units) + " hold, but " +
                            units_text(pools, surprise.fails.units) +
                            " do not: more units are not always better, because requests share "
                            "steps with others then.");
  return section;
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
                       const CapacityPlan& plan) {
  Report report;
  report.title = scenario.name + ": capacity";
  report.facts = {{"scenario", scenario.description},
                  {"scenario hash", scenario.hash},
                  {"profile", scenario.profile.id},
                  {"seed", std::to_string(scenario.seed)}};
  if (!plan.feasible) {
    report.warnings.push_back("a pool does not fit in memory; see the table");
  } else {
    report.sections = {answer_section(scenario, bounds, plan),
                       sweep_section(scenario.serving.pools, plan)};
    ServingRun run;
    run.pools = plan.pools;
    run.runs = {*plan.run};
    const std::optional<ServingUncertainty> none;
    const ServingReportInput input{scenario, run, none, {}, {}};
    for (const auto& builder : {serving_latency_section, serving_pools_section})
      if (auto section = builder(input)) report.sections.push_back(std::move(*section));
  }
  ServingRun memory_only;
  memory_only.pools = plan.pools;
  const std::optional<ServingUncertainty> none;
  if (auto section = serving_memory_section({scenario, memory_only, none, {}, {}}))
    report.sections.push_back(std::move(*section));
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
  document
      .set("best", plan.search.best ? point_json(pools, *plan.search.best) : JsonValue())
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
