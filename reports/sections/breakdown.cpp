#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

Chart category_chart(const PhaseResult& main) {
  BarChart chart;
  chart.value = {"time", "s", false};
  chart.category_name = "category";
  chart.sideways = true;
  BarChart::Series series{"mean over ranks", {}};
  std::size_t largest = 0;
  for (std::size_t c = 0; c < kNumCategories; ++c) {
    chart.categories.emplace_back(kCategoryNames[c].title);
    series.bars.push_back({0, main.category_s[c]});
    if (main.category_s[c] > main.category_s[largest]) largest = c;
  }
  chart.series.push_back(std::move(series));
  return {"The step by what the hardware did",
          "Most of it is " + std::string(kCategoryNames[largest].title) + ": " +
              format_percent(main.category_s[largest] / main.step_time.in(s)) + " of the step.",
          std::move(chart)};
}

}  // namespace

std::optional<Section> breakdown_section(const ReportInput& input) {
  const PhaseResult& main = input.run.phases.front();
  if (!main.refusal.empty()) return std::nullopt;
  Section section;
  section.title = "Where the step goes";
  const double step = main.step_time.in(s);
  Table hardware{"By what the hardware did (mean over ranks)", {"category", "time", "share"}, {}};
  double sum = 0;
  for (std::size_t c = 0; c < kNumCategories; ++c) {
    hardware.rows.push_back({std::string(kCategoryNames[c].title),
                             format_seconds(main.category_s[c]),
                             format_percent(main.category_s[c] / step)});
    sum += main.category_s[c];
  }
  hardware.rows.push_back({"sum", format_seconds(sum), format_percent(sum / step)});
  section.tables.push_back(std::move(hardware));
  section.charts.push_back(category_chart(main));
  if (main.phase.plan.schedule != ScheduleKind::overlapped_pair) {
    Table schedule{
        "By schedule phase", {"phase", "pipeline rank 0", "mean over ranks", "share"}, {}};
    double first = 0, mean = 0;
    for (std::size_t p = 0; p < kNumSchedulePhases; ++p) {
      schedule.rows.push_back({std::string(kSchedulePhaseNames[p].title),
                               format_seconds(main.first_rank_phase_s[p]),
                               format_seconds(main.phase_s[p]),
                               format_percent(main.phase_s[p] / step)});
      first += main.first_rank_phase_s[p];
      mean += main.phase_s[p];
    }
    schedule.rows.push_back(
        {"sum", format_seconds(first), format_seconds(mean), format_percent(mean / step)});
    section.tables.push_back(std::move(schedule));
    section.notes.push_back(
        "Phases are totals a step, as the ISCA'25 paper prints them: stalls inside a schedule step "
        "count to it, gaps between steps to the bubble.");
  }
  section.notes.push_back(std::to_string(main.step.num_simulated_ranks) + " ranks simulated" +
                          (main.step.folded ? " (identical ones folded)" : "") + ", " +
                          format_count(static_cast<double>(main.step.num_events)) + " events.");
  return section;
}

}  // namespace moesim
