#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

// Bars hang from the MFU before a loss to that after it; the last one stands: what is left.
Chart waterfall_chart(const PhaseResult& main) {
  BarChart chart;
  chart.value = {"MFU", "%", false};
  chart.category_name = "loss";
  chart.sideways = true;
  BarChart::Series series{"MFU before and after", {}};
  double before = 0;
  for (const WaterfallLine& line : main.waterfall) {
    chart.categories.push_back(line.name);
    series.bars.push_back({100 * before, 100 * line.mfu_after});
    before = line.mfu_after;
  }
  chart.categories.emplace_back("achieved");
  series.bars.push_back({0, 100 * before});
  chart.series.push_back(std::move(series));
  return {"From the peak to the achieved MFU",
          "Of the dense BF16 peak " + format_percent(before) +
              " is left (causal attention); each bar is what one loss takes away.",
          std::move(chart)};
}

}  // namespace

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
  section.charts.push_back(waterfall_chart(main));
  return section;
}

}  // namespace moesim
