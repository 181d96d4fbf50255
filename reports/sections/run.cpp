#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {

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
  section.paragraphs.push_back(
      "Ramp stages and phases with balanced routing are folded: one rank stands for all identical "
      "ones.");
  return section;
}

}  // namespace moesim
