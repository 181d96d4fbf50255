#include "sim/plan_axes.hpp"

#include <algorithm>

#include "model/errors.hpp"

namespace moesim {
namespace {

FieldAxis powers_of_two(const std::string& key, std::int64_t first, std::int64_t last) {
  FieldAxis axis{key, {}};
  for (std::int64_t n = first; n <= last; n *= 2)
    axis.alternatives.push_back(
        {key + " " + std::to_string(n), {field_setting("/plan/" + key, n)}});
  return axis;
}

// Every schedule that trains a whole step, with the SMs it gives to communication: none where
// nothing overlaps.
std::vector<FieldAxis::Alternative> schedule_alternatives(const Scenario& scenario) {
  constexpr std::int64_t kDeepEpSms = 24;  // deepseek-ai/DeepEP, tests/test_intranode.py
  const std::int64_t own_sms = scenario.phases.front().plan.comm_sms,
                     overlap_sms = own_sms > 0 ? own_sms : kDeepEpSms;
  std::vector<FieldAxis::Alternative> alternatives;
  auto add = [&](const ScheduleTraits& traits, std::int64_t parts, bool overlap) {
    alternatives.push_back(
        {traits.name + (parts > 1 ? " x" + std::to_string(parts) : std::string()) +
             (overlap ? ", expert communication overlapped" : ""),
         {field_setting("/plan/schedule", "\"" + std::string(traits.name) + "\""),
          field_setting("/plan/virtual_stages", parts),
          field_setting("/plan/overlap_expert_comm", overlap ? "true" : "false"),
          field_setting("/plan/comm_sms",
                        traits.overlap == Overlap::by_itself || overlap ? overlap_sms : 0)}});
  };
  for (const ScheduleTraits& traits : all_schedules()) {
    const bool interleaved = traits.kind == ScheduleKind::interleaved_1f1b;
    if (traits.kind == ScheduleKind::overlapped_pair) continue;  // no whole step
    for (const std::int64_t parts :
         interleaved ? std::vector<std::int64_t>{2, 4} : std::vector<std::int64_t>{1}) {
      add(traits, parts, false);
      if (traits.overlap == Overlap::on_request && scenario.model.moe) add(traits, parts, true);
    }
  }
  return alternatives;
}

}  // namespace

std::pair<std::string, JsonNode> field_setting(const std::string& pointer,
                                               const std::string& text) {
  return {pointer, parse_json(text, pointer)};
}
std::pair<std::string, JsonNode> field_setting(const std::string& pointer, std::int64_t number) {
  return field_setting(pointer, std::to_string(number));
}

std::vector<FieldAxis> training_axes(const Scenario& scenario) {
  const ModelSpec& model = scenario.model;
  const std::int64_t gpus = scenario.cluster.num_gpus();
  std::vector<FieldAxis> axes;
  FieldAxis tp = powers_of_two("tp", 1, scenario.cluster.gpus_per_node);
  for (FieldAxis::Alternative& a : tp.alternatives)
    a.set.push_back(field_setting("/plan/sequence_parallel", a.name == "tp 1" ? "false" : "true"));
  axes.push_back(std::move(tp));
  axes.push_back(powers_of_two("pp", 1, std::min<std::int64_t>({32, model.num_layers, gpus})));
  if (model.moe)
    axes.push_back(powers_of_two("ep", 8, std::min<std::int64_t>(model.moe->num_experts, gpus)));
  axes.push_back({"schedule", schedule_alternatives(scenario)});
  axes.push_back(powers_of_two("microbatch", 1, 2));
  axes.push_back(
      {"recompute",
       {{"recompute norms, up-projections, SwiGLU",
         {field_setting("/plan/recompute", R"(["norm", "latent_up_projection", "swiglu"])")}},
        {"recompute nothing", {field_setting("/plan/recompute", "\"none\"")}},
        {"recompute all", {field_setting("/plan/recompute", "\"full\"")}}}});
  return axes;
}

}  // namespace moesim
