#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

Chart phases_chart(const std::vector<const PhaseResult*>& in_time, DollarRate price) {
  BarChart chart;
  chart.value = {"cost", "USD", false};
  chart.category_name = "phase";
  chart.sideways = true;
  BarChart::Series series{"cost", {}};
  const PhaseResult* dearest = in_time.front();
  for (const PhaseResult* phase : in_time) {
    chart.categories.push_back(phase->phase.name);
    series.bars.push_back({0, (price * (phase->gpu_hours * hour)).in(USD)});
    if (phase->gpu_hours > dearest->gpu_hours) dearest = phase;
  }
  chart.series.push_back(std::move(series));
  return {
      "What each phase costs",
      "Most of it is " + dearest->phase.name + ": " + digits4(dearest->gpu_hours) + " GPU hours.",
      std::move(chart)};
}

}  // namespace

std::optional<Section> run_section(const ReportInput& input) {
  if (input.run.phases.size() < 2) return std::nullopt;
  Section section;
  section.title = "The whole run";
  Table table{
      "", {"phase", "batch", "sequence", "schedule", "tokens", "step", "GPU hours", "cost"}, {}};
  const DollarRate price = input.scenario.cluster.price;
  // As time passes: the ramp that opens a phase stands behind all phases in the list.
  const auto& phases = input.run.phases;
  std::vector<const PhaseResult*> in_time;
  for (std::size_t i = 0; i < phases.size(); ++i) {
    if (phases[i].phase.ramp_of) continue;
    for (const PhaseResult& ramp : phases)
      if (ramp.phase.ramp_of == i) in_time.push_back(&ramp);
    in_time.push_back(&phases[i]);
  }
  for (const PhaseResult* phase : in_time) {
    const PhaseResult& r = *phase;
    const std::string cost = format_usd((price * (r.gpu_hours * hour)).in(USD));
    if (r.phase.stated_gpu_hours) {
      table.rows.push_back({r.phase.name + " (stated: " + r.phase.source + ")",
                            "",
                            "",
                            "",
                            "",
                            "",
                            digits4(r.gpu_hours),
                            cost});
      continue;
    }
    table.rows.push_back({r.phase.name,
                          std::to_string(r.phase.batch),
                          std::to_string(r.phase.seq_len),
                          schedule_name(r.phase.plan.schedule),
                          format_count(r.phase.tokens),
                          r.refusal.empty() ? format_seconds(r.step_time.in(s)) : "cannot run",
                          digits4(r.gpu_hours),
                          cost});
  }
  table.rows.push_back(
      {"total", "", "", "", "", "", digits4(input.run.gpu_hours), format_usd(input.run.cost_usd)});
  section.tables.push_back(std::move(table));
  section.charts.push_back(phases_chart(in_time, price));
  section.paragraphs.push_back(
      "Ramp stages and phases with balanced routing are folded: one rank stands for all identical "
      "ones.");
  return section;
}

}  // namespace moesim
