#include "reports/format.hpp"
#include "reports/serving/serving_sections.hpp"

namespace moesim {
namespace {

Table steps_table(const ServingReportInput& input) {
  Table table{"Stated steps, tokens a second and GPU", {"change"}, {}};
  for (const StepPointResult& r : input.run.steps) table.columns.push_back(r.point.name);
  table.columns.emplace_back("why");
  const auto rate = [](const StepPointResult& r) {
    return r.prompt_tokens_per_s_per_gpu + r.output_tokens_per_s_per_gpu;
  };
  std::vector<std::string> base = {"(base)"};
  for (const StepPointResult& r : input.run.steps) base.push_back(digits4(rate(r)));
  base.emplace_back("");
  table.rows.push_back(std::move(base));
  for (const ServingVariantResult& v : input.variants) {
    std::vector<std::string> cells = {v.variant->name};
    for (std::size_t i = 0; i < input.run.steps.size(); ++i) {
      const bool is_there = i < v.run.steps.size();
      cells.push_back(!is_there ? "no such step"
                                : format_signed_percent(
                                      100 * (rate(v.run.steps[i]) / rate(input.run.steps[i]) - 1)) +
                                      (v.run.steps[i].fits ? "" : " (does not fit)"));
    }
    cells.push_back(v.variant->because);
    table.rows.push_back(std::move(cells));
  }
  return table;
}

std::vector<std::string> request_cells(const ServingRun& run, const ServingScenario& scenario) {
  if (run.runs.empty()) return {"does not fit", "", "", "", "", ""};
  const SeedRun& r = run.runs.front();
  double mean_nodes = 0, peak_nodes = 0;
  for (std::size_t i = 0; i < r.cluster.pools.size(); ++i) {
    const PoolSpec& pool = scenario.serving.pools[i];
    const double per_unit =
        static_cast<double>(pool.plan.num_gpus()) / static_cast<double>(pool.cluster.gpus_per_node);
    mean_nodes +=
        per_unit * r.cluster.pools[i].provisioned_ticks / static_cast<double>(r.cluster.end);
    peak_nodes += per_unit * static_cast<double>(r.cluster.pools[i].peak_units);
  }
  return {format_seconds(r.metrics.ttft_s.median),
          format_seconds(r.metrics.ttft_s.percentile(99)),
          format_seconds(r.metrics.tpot_s.median),
          format_seconds(r.metrics.tpot_s.percentile(99)),
          digits4(mean_nodes) + " / " + digits4(peak_nodes),
          r.cost.all_per_million_output ? format_usd(r.cost.all_per_million_output->in(USD)) : ""};
}

Table requests_table(const ServingReportInput& input) {
  Table table{"Requests",
              {"change",
               "TTFT p50",
               "TTFT p99",
               "TPOT p50",
               "TPOT p99",
               "nodes, mean / most",
               "whole cost a million output tokens",
               "why"},
              {}};
  const auto add = [&](const std::string& name, const ServingRun& run, const std::string& why) {
    std::vector<std::string> cells = request_cells(run, input.scenario);
    cells.insert(cells.begin(), name);
    cells.push_back(why);
    table.rows.push_back(std::move(cells));
  };
  add("(base)", input.run, "");
  for (const ServingVariantResult& v : input.variants)
    add(v.variant->name, v.run, v.variant->because);
  return table;
}

}  // namespace

std::optional<Section> serving_variants_section(const ServingReportInput& input) {
  if (input.variants.empty()) return std::nullopt;
  Section section;
  section.title = "What a change does";
  section.paragraphs.push_back("The same again, each time with one change to the scenario.");
  if (!input.run.steps.empty()) section.tables.push_back(steps_table(input));
  if (!input.run.runs.empty()) section.tables.push_back(requests_table(input));
  return section;
}

}  // namespace moesim
