// What the pools did and what it cost.
#include <algorithm>
#include <cmath>

#include "reports/format.hpp"
#include "reports/serving/serving_sections.hpp"

namespace moesim {
namespace {

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }

std::string nodes(double units, const PoolSpec& pool) {
  return digits4(units * static_cast<double>(pool.plan.num_gpus()) /
                 static_cast<double>(pool.cluster.gpus_per_node));
}

// Mean over the run of the fewest units that can do each interval's work.
double perfect_units(const ServingResult& result, std::size_t pool) {
  double unit_ticks = 0, ticks = 0;
  for (const SeriesPoint& point : result.series) {
    unit_ticks += std::ceil(point.pools[pool].fewest_units) * static_cast<double>(point.length);
    ticks += static_cast<double>(point.length);
  }
  return share(unit_ticks, ticks);
}

Chart cost_chart(const ServingReportInput& input) {
  const ServingResult& result = input.run.runs.front().cluster;
  BarChart chart;
  chart.value = {"cost", "USD", false};
  chart.category_name = "pool";
  chart.sideways = true;
  BarChart::Series series{"GPU time at its price", {}};
  double sum = 0, most = -1;
  std::string dearest;
  for (std::size_t i = 0; i < result.pools.size(); ++i) {
    const PoolSpec& pool = input.scenario.serving.pools[i];
    const double dollars = (pool.cluster.price * result.pools[i].gpu_time).in(USD);
    chart.categories.push_back(pool.name);
    series.bars.push_back({0, dollars});
    sum += dollars;
    if (dollars > most) most = dollars, dearest = pool.name;
  }
  chart.series.push_back(std::move(series));
  return {"What each pool costs",
          "Pool " + dearest + " has " + format_percent(share(most, sum)) + " of the cost.",
          std::move(chart)};
}

}  // namespace

std::optional<Section> serving_pools_section(const ServingReportInput& input) {
  if (input.run.runs.empty()) return std::nullopt;
  const ServingResult& result = input.run.runs.front().cluster;
  const auto& specs = input.scenario.serving.pools;
  const auto end = static_cast<double>(result.end);
  Section section;
  section.title = "Pools";
  Table table{"", {"what"}, {}};
  for (const PoolSpec& pool : specs) table.columns.push_back(pool.name);
  const auto row = [&](const std::string& name, const auto& cell) {
    std::vector<std::string> cells = {name};
    for (std::size_t i = 0; i < specs.size(); ++i) cells.push_back(cell(specs[i], result.pools[i]));
    table.rows.push_back(std::move(cells));
  };
  using Spec = const PoolSpec&;
  using Result = const PoolResult&;
  row("units provisioned, mean",
      [&](Spec, Result r) { return digits4(r.provisioned_ticks / end); });
  row("units provisioned, most", [](Spec, Result r) { return std::to_string(r.peak_units); });
  row("nodes provisioned, mean",
      [&](Spec p, Result r) { return nodes(r.provisioned_ticks / end, p); });
  row("nodes provisioned, most",
      [](Spec p, Result r) { return nodes(static_cast<double>(r.peak_units), p); });
  std::vector<std::string> perfect = {"units of a perfect autoscaler, mean (lower bound)"};
  for (std::size_t i = 0; i < specs.size(); ++i)
    perfect.push_back(digits4(perfect_units(result, i)));
  table.rows.push_back(std::move(perfect));
  row("time inside steps, of units up", [](Spec, Result r) {
    return format_percent(share(static_cast<double>(r.total.busy), r.up_ticks));
  });
  row("KV pages in use, of units up", [](Spec, Result r) {
    return format_percent(share(r.total.kv_page_ticks, r.capacity.pages * r.up_ticks));
  });
  row("requests running, mean",
      [&](Spec, Result r) { return digits4(r.total.running_ticks / end); });
  row("requests waiting, mean",
      [&](Spec, Result r) { return digits4(r.total.waiting_ticks / end); });
  row("steps", [](Spec, Result r) { return digits4(static_cast<double>(r.total.steps)); });
  row("prompt tokens computed",
      [](Spec, Result r) { return format_count(static_cast<double>(r.total.prompt_tokens)); });
  row("of those, a second time",
      [](Spec, Result r) { return format_count(static_cast<double>(r.total.recomputed_tokens)); });
  row("prompt tokens found cached",
      [](Spec, Result r) { return format_count(static_cast<double>(r.total.cached_tokens)); });
  row("output tokens",
      [](Spec, Result r) { return format_count(static_cast<double>(r.total.output_tokens)); });
  row("input tokens per second and provisioned node, cached ones included", [](Spec p, Result r) {
    const double node_seconds = r.gpu_time.in(s) / static_cast<double>(p.cluster.gpus_per_node);
    return digits4(
        share(static_cast<double>(r.total.prompt_tokens + r.total.cached_tokens), node_seconds));
  });
  row("output tokens per second and provisioned node", [](Spec p, Result r) {
    const double node_seconds = r.gpu_time.in(s) / static_cast<double>(p.cluster.gpus_per_node);
    return digits4(share(static_cast<double>(r.total.output_tokens), node_seconds));
  });
  row("drafts accepted", [](Spec, Result r) {
    return r.total.drafted_tokens == 0
               ? std::string("none made")
               : format_percent(share(static_cast<double>(r.total.accepted_tokens),
                                      static_cast<double>(r.total.drafted_tokens)));
  });
  row("preemptions", [](Spec, Result r) { return std::to_string(r.total.preemptions); });
  row("failures of units", [](Spec, Result r) { return std::to_string(r.failures); });
  row("changes by the scaler", [](Spec, Result r) { return std::to_string(r.decisions.size()); });
  section.tables.push_back(std::move(table));
  const TransferResult& t = result.transfers;
  if (t.count > 0) {
    const auto mean = [&](double ticks) {
      return format_seconds(ticks / static_cast<double>(t.count) * ps.in(s));
    };
    section.notes.push_back("KV transfers: " + std::to_string(t.count) + " of " +
                            format_bytes(t.bytes / static_cast<double>(t.count)) +
                            " on average; from first token to a "
                            "place in a decode unit " +
                            mean(t.place_ticks) + ", then waiting for ports " + mean(t.port_ticks) +
                            ", then on the wire " + mean(t.wire_ticks) + ".");
  }
  return section;
}

std::optional<Section> serving_cost_section(const ServingReportInput& input) {
  if (input.run.runs.empty()) return std::nullopt;
  const SeedRun& run = input.run.runs.front();
  const ServingCost& cost = run.cost;
  const double seconds = to_seconds(run.cluster.end).in(s);
  Section section;
  section.title = "Cost";
  Table table{"", {"quantity", "value"}, {}};
  const auto add = [&](const char* name, const std::optional<Dollars>& dollars) {
    if (dollars) table.rows.push_back({name, format_usd(dollars->in(USD))});
  };
  table.rows.push_back({"GPU hours provisioned", digits4(cost.gpu_hours)});
  add("cost", cost.total);
  add("a day of it", cost.total * (86400 / seconds));
  add("a million input tokens, cached ones included", cost.per_million_input);
  add("a million input tokens computed", cost.per_million_computed_input);
  add("a million output tokens", cost.per_million_output);
  add("whole cost over a million output tokens", cost.all_per_million_output);
  add("whole cost over a million tokens", cost.all_per_million_tokens);
  add("revenue at the stated prices", cost.revenue);
  if (cost.margin) table.rows.push_back({"profit over cost", format_percent(*cost.margin)});
  if (cost.most_joules_per_output_token)
    table.rows.push_back(
        {"energy of an output token, at most", digits4(*cost.most_joules_per_output_token) + " J"});
  section.tables.push_back(std::move(table));
  section.charts.push_back(cost_chart(input));
  section.paragraphs.push_back(
      "GPU time is counted while a unit is up, starts, drains or is repaired. Energy is a bound: "
      "every GPU at its board's limit all the time.");
  return section;
}

}  // namespace moesim
