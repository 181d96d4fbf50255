#include <algorithm>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"
#include "reports/serving/serving_sections.hpp"

namespace moesim {
namespace {

using SectionBuilder = std::optional<Section> (*)(const ServingReportInput&);
constexpr SectionBuilder kOrder[] = {
    serving_verdict_section,   serving_summary_section,     serving_steps_section,
    serving_memory_section,    serving_tiers_section,       serving_routing_section,
    serving_latency_section,   serving_load_section,        serving_speed_section,
    serving_series_section,    serving_pools_section,       serving_requests_section,
    serving_cost_section,      serving_uncertainty_section, serving_variants_section,
    serving_published_section, serving_assumptions_section, serving_origins_section,
    serving_checking_section,  serving_inputs_section};

}  // namespace

std::optional<Section> serving_published_section(const ServingReportInput& input) {
  return published_section(input.known);
}

Interval interval_of(const ServingRun& run,
                     const ServingUncertainty& uncertainty,
                     const std::function<double(const ServingRun&)>& number) {
  EndValues ends;
  for (const auto& [fast, slow] : uncertainty.ends) ends.push_back({number(fast), number(slow)});
  const Interval interval = combined(number(run), ends);
  return {std::max(0.0, interval.low), interval.high};
}

Report make_report(const ServingReportInput& input) {
  const ServingScenario& scenario = input.scenario;
  Report report;
  report.title = scenario.name;
  const char* kind = kProfileKinds[static_cast<std::size_t>(scenario.profile.kind)];
  report.facts = {
      {"scenario", scenario.description},
      {"model", scenario.model.name},
      {"scenario hash", scenario.hash},
      {"profile", scenario.profile.id + " (" + kind + ", on " + scenario.profile.gpu.name + ")"},
      {"seed", std::to_string(scenario.seed)}};
  for (const SectionBuilder builder : kOrder)
    if (auto section = builder(input)) report.sections.push_back(std::move(*section));
  report.warnings = input.run.warnings;
  return report;
}

}  // namespace moesim
