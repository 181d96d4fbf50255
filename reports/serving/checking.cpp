// The way back from the numbers of a serving run to formulas and inputs.
#include "reports/inputs.hpp"
#include "reports/serving/serving_sections.hpp"

namespace moesim {

std::optional<Section> serving_checking_section(const ServingReportInput& input) {
  Section section;
  section.title = "How to check a number";
  Table table{"", {"number", "what it is made of", "formula or rule"}, {}};
  const auto add = [&](const char* number, const char* from, const char* where) {
    table.rows.push_back({number, from, where});
  };
  add("step time",
      "kernels as the profile has them, of the slowest rank, and its exchanges",
      "docs/serving.md: \"From a request to a number\"; docs/physics.md: \"What a kernel costs\"");
  if (!input.run.runs.empty()) {
    add("TTFT, TPOT, ITL, E2E",
        "clocks of every request, percentiles by numpy's rule",
        "docs/serving.md: \"From a request to a number\"");
    add("tokens per second", "tokens of served requests / the window", "docs/serving.md");
    add("GPU hours",
        "GPUs of units that are up, start, drain or are repaired, over the simulated time",
        "the table of pools");
    add("cost of a million tokens", "GPU hours x price / tokens", "the inputs /cluster/price");
    add("cost of a month",
        "GPUs provisioned on average x price x 730 h",
        "the inputs /cluster/price");
  } else {
    add("tokens per second and GPU", "tokens of the stated batch / step time", "the stated step");
  }
  add("KV pages", "what weights, activations and buffers leave", "the table \"Memory of a GPU\"");
  add("power", "GPUs x the board's limit", "the input /cluster/gpu/max_power");
  section.tables.push_back(std::move(table));
  section.notes.emplace_back(kWhereInputsAre);
  return section;
}

std::optional<Section> serving_assumptions_section(const ServingReportInput& input) {
  return assumptions_section(input.scenario.assumptions);
}
std::optional<Section> serving_inputs_section(const ServingReportInput& input) {
  return inputs_section(input.inputs);
}

}  // namespace moesim
