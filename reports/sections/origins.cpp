#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {

std::optional<Section> origins_section(const ReportInput& input) {
  const PhaseResult& main = input.run.phases.front();
  Section section;
  section.title = "Where the numbers come from";
  if (main.refusal.empty()) {
    Table table{"Share of predicted compute time", {"origin", "share"}, {}};
    for (std::size_t i = 0; i < kNumOrigins; ++i)
      table.rows.push_back({kOriginNames[i], format_percent(main.origin_share[i])});
    section.tables.push_back(std::move(table));
  }
  section.paragraphs.push_back(
      "`measured`: the very point (or a kernel of fixed duration) was measured; `interpolated`: by "
      "a form fitted to points around it; `extrapolated`: outside them, in shape or in the SMs "
      "used; `roofline`: no measurement at all.");
  const CommModel& comm = input.scenario.profile.comm;
  section.notes.push_back(
      "Links: NVLink at " + format_percent(comm.nvlink_efficiency) + " and NIC at " +
      format_percent(comm.nic_efficiency) +
      " of the datasheet rate; beside compute, dispatch, cached dispatch and combine run at " +
      format_percent(comm.dispatch_overlap) + ", " + format_percent(comm.cached_dispatch_overlap) +
      " and " + format_percent(comm.combine_overlap) +
      " of that. Source: " + input.scenario.profile.comm_source);
  section.notes.push_back("Launches: " + input.scenario.profile.launch_source);
  section.notes.push_back(
      "The source and the error of each kernel are in the profile's file, and under \"All inputs\" "
      "of a report in a file (-o).");
  return section;
}

}  // namespace moesim
