#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

std::string range(std::int64_t first, std::int64_t last) {
  return first == last ? std::to_string(first) : std::to_string(first) + "-" + std::to_string(last);
}

std::string layers_text(const std::vector<LayerKind>& layers) {
  static const char* const kNames[] = {"embedding", "dense", "MoE", "MTP projection", "head"};
  std::string text;
  for (std::size_t i = 0; i < layers.size();) {
    std::size_t n = i;
    while (n < layers.size() && layers[n] == layers[i]) ++n;
    text += (text.empty() ? "" : " + ") +
            (n - i > 1 ? std::to_string(n - i) + " " : std::string()) +
            kNames[static_cast<std::size_t>(layers[i])];
    i = n;
  }
  return text;
}

// What is not after the last chunk as ZeRO 1 has it; "": all is.
std::string data_parallel_text(const ParallelPlan& plan) {
  if (plan.zero_stage == 1 && !plan.overlap_grad_reduce && !plan.overlap_param_gather) return "";
  std::string text = "Data parallelism: ZeRO " + std::to_string(plan.zero_stage);
  text += plan.zero_stage >= 2 ? "; gradients are scattered after every microbatch"
                               : "; gradients are reduced once a step";
  if (plan.overlap_grad_reduce)
    text += ", beside the backward pass, in buckets of " + format_bytes(plan.gradient_bucket);
  if (plan.zero_stage == 3)
    text += plan.overlap_param_gather ? "; weights are gathered one layer ahead"
                                      : "; each layer waits for its weights";
  else if (plan.overlap_param_gather)
    text += "; weights are gathered under the next step's first forward passes";
  return text + ".";
}

}  // namespace

std::optional<Section> plan_section(const ReportInput& input) {
  const TrainingPhase& phase = input.run.phases.front().phase;
  const ParallelPlan& plan = phase.plan;
  Section section;
  section.title = "Plan and rank grid";
  section.paragraphs.push_back(
      "tp " + std::to_string(plan.tp) + " x cp " + std::to_string(plan.cp) + " x pp " +
      std::to_string(plan.pp) + " x dp " + std::to_string(plan.dp) + " = " +
      std::to_string(plan.world()) + " ranks; experts over ep " + std::to_string(plan.ep) +
      ", so " + std::to_string(plan.num_ep_groups()) +
      " expert-parallel group(s) a stage; schedule " + schedule_name(plan.schedule) + ", " +
      std::to_string(num_microbatches(plan, phase.batch)) + " microbatches of " +
      (plan.microbatch == 1 ? "one sequence" : std::to_string(plan.microbatch) + " sequences") +
      " a pipeline; " + std::to_string(plan.comm_sms) + " of " +
      std::to_string(input.scenario.cluster.gpu.num_sms) + " SMs communicate; recipe " +
      recipe_name(plan.recipe) + ".");
  Table table{"", {"stage", "layers", "ranks", "expert-parallel groups"}, {}};
  const auto stages = stage_layers(plan, input.scenario.model);
  const PipelineLayout layout = plan.layout();
  const std::int64_t group = plan.ranks_per_ep_group();
  for (std::int64_t st = 0; st < layout.num_stages(); ++st) {
    const std::int64_t first = layout.place_of(st, 0).rank * plan.ranks_per_stage();
    std::string groups;
    const std::int64_t shown = std::min<std::int64_t>(plan.num_ep_groups(), 4);
    for (std::int64_t g = 0; g < shown; ++g)
      groups += (g == 0 ? "" : ", ") + range(first + g * group, first + (g + 1) * group - 1);
    if (shown < plan.num_ep_groups())
      groups += ", ... (" + std::to_string(plan.num_ep_groups()) + ")";
    std::string ranks = range(first, first + plan.ranks_per_stage() - 1);
    if (layout.copies() == 2) {
      const std::int64_t mirror = layout.place_of(st, 1).rank * plan.ranks_per_stage();
      ranks += " and " + range(mirror, mirror + plan.ranks_per_stage() - 1);
    }
    table.rows.push_back(
        {std::to_string(st), layers_text(stages[static_cast<std::size_t>(st)]), ranks, groups});
  }
  section.tables.push_back(std::move(table));
  if (layout.copies() == 2)
    section.notes.push_back("Each rank holds two stages, one for each direction of the pipeline.");
  else if (layout.stages_of(0).size() > 1)
    section.notes.push_back("Each rank holds " + std::to_string(layout.num_parts) + " stages.");
  if (const std::string text = data_parallel_text(plan); !text.empty())
    section.notes.push_back(text);
  section.notes.push_back(
      "Layers per stage: " +
      (plan.explain_layers == "given"
           ? std::string("as the scenario gives them.")
           : std::string("balanced by forward FLOPs, head and MTP module included.")));
  return section;
}

}  // namespace moesim
