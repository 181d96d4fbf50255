// How sure a serving run is, and the way back from its numbers to their formulas.
#include <algorithm>
#include <cmath>

#include "reports/format.hpp"
#include "reports/inputs.hpp"
#include "reports/sections/sections.hpp"
#include "reports/serving/serving_sections.hpp"

namespace moesim {
namespace {

// A number that sources of error move; a run at an end may have none (it does not fit there).
using Number = std::function<std::optional<double>(const ServingRun&)>;

std::vector<TornadoBar> bars_of(const ServingReportInput& input, const Number& number) {
  const double base = *number(input.run);
  std::vector<TornadoBar> bars;
  for (std::size_t i = 0; i < input.uncertainty->sources.size(); ++i) {
    const auto& [fast, slow] = input.uncertainty->ends[i];
    const std::optional<double> at_fast = number(fast), at_slow = number(slow);
    if (!at_fast || !at_slow || (*at_fast == base && *at_slow == base)) continue;
    bars.push_back({input.uncertainty->sources[i], *at_fast, *at_slow});
  }
  const auto size = [base](const TornadoBar& bar) {
    return std::max(std::abs(bar.fast - base), std::abs(bar.slow - base));
  };
  std::stable_sort(bars.begin(), bars.end(), [&](const TornadoBar& a, const TornadoBar& b) {
    return size(a) > size(b);
  });
  return bars;
}

Table sources_table(const std::string& title, double base, const std::vector<TornadoBar>& bars) {
  Table table{title, {"source", "fast end", "slow end", "slow end against the base"}, {}};
  for (const TornadoBar& bar : bars)
    table.rows.push_back({bar.source,
                          format_seconds(bar.fast),
                          format_seconds(bar.slow),
                          format_signed_percent(100 * (bar.slow / base - 1))});
  return table;
}

}  // namespace

std::optional<Section> serving_uncertainty_section(const ServingReportInput& input) {
  if (!input.uncertainty) return std::nullopt;
  std::vector<std::pair<std::string, Number>> numbers;
  const auto of_requests = [](double (*value)(const ServingMetrics&)) -> Number {
    return [value](const ServingRun& run) -> std::optional<double> {
      if (run.runs.empty()) return std::nullopt;
      return value(run.runs.front().metrics);
    };
  };
  if (!input.run.runs.empty())
    numbers = {{"99th percentile of the time to first token",
                of_requests([](const ServingMetrics& m) { return m.ttft_s.percentile(99); })},
               {"median time per output token",
                of_requests([](const ServingMetrics& m) { return m.tpot_s.median; })}};
  else if (!input.run.steps.empty())
    numbers = {{"time of step " + input.run.steps.front().point.name,
                [](const ServingRun& run) -> std::optional<double> {
                  return run.steps.front().step.in(s);
                }}};
  Section section;
  section.title = "How sure";
  for (const auto& [name, number] : numbers) {
    const double base = *number(input.run);
    if (base <= 0) continue;
    const std::vector<TornadoBar> bars = bars_of(input, number);
    if (bars.empty()) continue;
    section.charts.push_back(tornado_chart(name, "s", base, bars));
    section.tables.push_back(
        sources_table("What moves the " + name + " of " + format_seconds(base), base, bars));
  }
  if (section.tables.empty()) return std::nullopt;
  section.paragraphs.push_back(
      "Every source of error of the calibration is moved to both ends of its 90 % interval and the "
      "same requests are served again; largest first. Sources that change nothing are left out.");
  return section;
}

std::optional<Section> serving_tiers_section(const ServingReportInput& input) {
  Section section;
  section.title = "Experts in tiers";
  const auto& pools = input.scenario.serving.pools;
  for (std::size_t i = 0; i < pools.size(); ++i) {
    const auto& points = input.run.pools[i].expert_tiers;
    if (points.empty()) continue;
    Table table{"Pool " + pools[i].name,
                {"requests of a rank",
                 "experts of a layer touched",
                 "found in HBM",
                 "from the host",
                 "from the SSD",
                 "step",
                 "of that, waiting for experts"},
                {}};
    for (const ExpertTierPoint& p : points)
      table.rows.push_back(
          {std::to_string(p.requests),
           digits4(p.use.touched),
           format_percent(p.use.hit_rate()),
           digits4(p.use.from_host),
           digits4(p.use.from_ssd),
           format_seconds(p.step.in(s)),
           format_seconds(p.stall.in(s)) + " (" + format_percent(p.stall / p.step) + ")"});
    section.tables.push_back(std::move(table));
  }
  if (section.tables.empty()) return std::nullopt;
  section.paragraphs.push_back(
      "Steps of decoding requests without cached tokens: how many experts HBM has when they are "
      "needed, and how long a step waits for the others.");
  return section;
}

std::optional<Section> serving_routing_section(const ServingReportInput& input) {
  Section section;
  section.title = "Routing and network";
  const auto& pools = input.scenario.serving.pools;
  for (std::size_t i = 0; i < input.routing.size(); ++i)
    if (input.routing[i])
      for (Chart& chart : routing_charts(*input.routing[i], "Pool " + pools[i].name))
        section.charts.push_back(std::move(chart));
  if (section.charts.empty()) return std::nullopt;
  section.notes.push_back(
      "Of one step as large as the engine allows (prompts, or decoding in a pool that only "
      "decodes), as the law of the routing draws it; the traffic is that of the first layer with "
      "experts.");
  section.only_in_files = true;
  return section;
}

std::optional<Section> serving_checking_section(const ServingReportInput& input) {
  Section section;
  section.title = "How to check a number";
  Table table{"", {"number", "what it is made of", "formula or rule"}, {}};
  const auto add = [&](const char* number, const char* from, const char* where) {
    table.rows.push_back({number, from, where});
  };
  add("step time",
      "kernels as the profile has them, of the slowest rank, and its exchanges",
      "docs/serving.md: \"From a request to a number\"; docs/physics.md: \"What a kernel costs\"");
  if (!input.run.runs.empty()) {
    add("TTFT, TPOT, ITL, E2E",
        "clocks of every request, percentiles by numpy's rule",
        "docs/serving.md: \"From a request to a number\"");
    add("tokens per second", "tokens of served requests / the window", "docs/serving.md");
    add("GPU hours",
        "GPUs of units that are up, start, drain or are repaired, over the simulated time",
        "the table of pools");
    add("cost of a million tokens", "GPU hours x price / tokens", "the inputs /cluster/price");
    add("cost of a month",
        "GPUs provisioned on average x price x 730 h",
        "the inputs /cluster/price");
  } else {
    add("tokens per second and GPU", "tokens of the stated batch / step time", "the stated step");
  }
  add("KV pages", "what weights, activations and buffers leave", "the table \"Memory of a GPU\"");
  add("power", "GPUs x the board's limit", "the input /cluster/gpu/max_power");
  section.tables.push_back(std::move(table));
  section.notes.push_back(
      "`moesim run -o FOLDER` writes every input with its source at the end of the report; "
      "`--set` changes one and shows what it does.");
  return section;
}

std::optional<Section> serving_assumptions_section(const ServingReportInput& input) {
  return assumptions_section(input.scenario.assumptions);
}
std::optional<Section> serving_inputs_section(const ServingReportInput& input) {
  return inputs_section(input.inputs);
}

}  // namespace moesim
