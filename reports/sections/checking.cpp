// The way back from a headline number to its formula; and the sections of inputs and assumptions.
#include "reports/inputs.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {

std::optional<Section> checking_section(const ReportInput& input) {
  const PhaseResult& main = input.run.phases.front();
  if (!main.refusal.empty()) return std::nullopt;
  Section section;
  section.title = "How to check a number";
  Table table{"", {"number", "what it is made of", "formula or rule"}, {}};
  const auto add = [&](const char* number, const char* from, const char* where) {
    table.rows.push_back({number, from, where});
  };
  add("step time",
      "events of the simulated step; kernels as the profile has them",
      "docs/physics.md: \"What a kernel costs\", \"Schedules\", \"Links\"; `--explain` prints the "
      "chain of operations that it is");
  if (main.phase.plan.schedule != ScheduleKind::overlapped_pair) {
    add("tokens per second", "sequences a step x their length / step time", "inputs and step time");
    add("MFU, model FLOP rate",
        "model FLOPs of a token x tokens per second / (GPUs x BF16 peak)",
        "docs/physics.md: \"FLOPs and MFU\"; the FLOPs of each part: `moesim model`");
    add("GPU hours", "GPUs x steps x step time, summed over phases", "the table of phases");
    add("cost", "GPU hours x the cluster's price", "the input /cluster/price");
  }
  add("memory", "counted from the plan, tensor by tensor", "docs/physics.md: \"Memory\"");
  if (input.scenario.operations)
    add("wall time, goodput",
        "expectations in closed form, over the causes listed",
        "docs/physics.md: \"Interruptions\"");
  add("power", "GPUs x the board's limit", "the input /cluster/gpu/max_power");
  if (input.uncertainty)
    add("intervals",
        "the run again at both ends of every source of error, in quadrature",
        "docs/physics.md: \"How sure a time is\"; the table under \"How sure\"");
  section.tables.push_back(std::move(table));
  section.notes.emplace_back(kWhereInputsAre);
  return section;
}

std::optional<Section> assumptions_section(const ReportInput& input) {
  return assumptions_section(input.scenario.assumptions);
}
std::optional<Section> inputs_section(const ReportInput& input) {
  return inputs_section(input.inputs);
}

}  // namespace moesim
