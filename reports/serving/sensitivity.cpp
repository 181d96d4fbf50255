// How sure a serving run is.
#include <algorithm>
#include <cmath>

#include "reports/format.hpp"
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

}  // namespace moesim
