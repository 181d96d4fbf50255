#include "reports/report.hpp"

#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

using SectionBuilder = std::optional<Section> (*)(const ReportInput&);
constexpr SectionBuilder kOrder[] = {verdict_section,
                                     summary_section,
                                     breakdown_section,
                                     waterfall_section,
                                     timeline_section,
                                     critical_path_section,
                                     memory_section,
                                     plan_section,
                                     routing_section,
                                     run_section,
                                     operations_section,
                                     uncertainty_section,
                                     variants_section,
                                     published_section,
                                     gap_section,
                                     assumptions_section,
                                     origins_section,
                                     checking_section,
                                     inputs_section};

}  // namespace

Report make_report(const ReportInput& input) {
  Report report;
  report.title = input.scenario.name;
  const char* kind = kProfileKinds[static_cast<std::size_t>(input.scenario.profile.kind)];
  report.facts = {
      {"scenario", input.scenario.description},
      {"model", input.scenario.model.name},
      {"scenario hash", input.scenario.hash},
      {"profile",
       input.scenario.profile.id + " (" + kind + ", on " + input.scenario.profile.gpu.name + ")"},
      {"seed", std::to_string(input.scenario.seed)}};
  for (const SectionBuilder builder : kOrder)
    if (auto section = builder(input)) report.sections.push_back(std::move(*section));
  report.warnings = input.run.warnings;
  return report;
}

Report for_terminal(Report report) {
  std::erase_if(report.sections, [](const Section& section) { return section.only_in_files; });
  return report;
}

}  // namespace moesim
