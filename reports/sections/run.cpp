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
  // As time passes: the ramp stages come last in the list but first in the run.
  const std::string ramp_name = input.run.phases.front().phase.name + ", batch ramp";
  std::vector<const PhaseResult*> in_time;
  for (const bool ramp : {true, false})
    for (const PhaseResult& r : input.run.phases)
      if ((r.phase.name.rfind(ramp_name, 0) == 0) == ramp) in_time.push_back(&r);
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
