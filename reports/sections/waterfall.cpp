#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {

std::optional<Section> waterfall_section(const ReportInput& input) {
  const PhaseResult& main = input.run.phases.front();
  if (!main.refusal.empty() || main.waterfall.empty()) return std::nullopt;
  Section section;
  section.title = "From the peak to the achieved MFU";
  section.paragraphs.push_back(
      "Each line is one named loss (or gain): the seconds it adds to the step of an average rank, "
      "and the MFU (causal, of the dense BF16 peak) that is left after it. The lines sum to the "
      "step.");
  Table table{"", {"loss", "time", "MFU left"}, {}};
  for (const WaterfallLine& line : main.waterfall) {
    const std::string time =
        line.seconds < 0 ? "-" + format_seconds(-line.seconds) : format_seconds(line.seconds);
    table.rows.push_back({line.name, time, format_percent(line.mfu_after)});
  }
  section.tables.push_back(std::move(table));
  return section;
}

}  // namespace moesim
