#include "sim/plan_search.hpp"

#include <algorithm>

#include "model/errors.hpp"
#include "model/parallel_for.hpp"

namespace moesim {
namespace {

// A field and its value as JSON; messages name the field.
std::pair<std::string, JsonNode> field(const std::string& pointer, const std::string& text) {
  return {pointer, parse_json(text, pointer)};
}
std::pair<std::string, JsonNode> field(const std::string& pointer, std::int64_t number) {
  return field(pointer, std::to_string(number));
}

FieldAxis powers_of_two(const std::string& key, std::int64_t first, std::int64_t last) {
  FieldAxis axis{key, {}};
  for (std::int64_t n = first; n <= last; n *= 2)
    axis.alternatives.push_back({key + " " + std::to_string(n), {field("/plan/" + key, n)}});
  return axis;
}

std::int64_t degree(const ParallelPlan& own, const Settings& settings, const std::string& key) {
  for (auto it = settings.rbegin(); it != settings.rend(); ++it)
    if (it->first == "/plan/" + key) return as_integer(it->second, 1, 1 << 20);
  return key == "tp" ? own.tp : key == "cp" ? own.cp : own.pp;
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
         {field("/plan/schedule", "\"" + std::string(traits.name) + "\""),
          field("/plan/virtual_stages", parts),
          field("/plan/overlap_expert_comm", overlap ? "true" : "false"),
          field("/plan/comm_sms",
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

// What a combination sets; the reason, where the ranks do not multiply out to the GPUs.
std::string add_settings(const SearchRequest& request,
                         const JsonNode& first_phase,
                         const Scenario& own,
                         const SearchPoint& point,
                         Settings& settings) {
  settings = request.settings;
  // The others may have plans of their own, which do not follow this one.
  settings.insert(settings.begin(), {"/phases", first_phase});
  if (point.choice.empty()) return "";
  settings.push_back(field("/plan/layers_per_stage", "null"));
  settings.push_back(field("/plan/fallback_schedule", "null"));
  for (std::size_t a = 0; a < point.choice.size(); ++a)
    for (const auto& change : request.axes[a].alternatives[point.choice[a]].set)
      settings.push_back(change);
  const ParallelPlan& plan = own.phases.front().plan;
  const std::int64_t tp = degree(plan, settings, "tp"), cp = degree(plan, settings, "cp"),
                     pp = degree(plan, settings, "pp"), gpus = own.cluster.num_gpus();
  if (gpus % (tp * cp * pp) != 0)
    return std::to_string(gpus) + " GPUs are no multiple of tp " + std::to_string(tp) + " x cp " +
           std::to_string(cp) + " x pp " + std::to_string(pp);
  settings.push_back(field("/plan/dp", gpus / (tp * cp * pp)));
  return "";
}

void simulate(const SearchRequest& request,
              const Settings& settings,
              bool balanced,
              SearchPoint& point) {
  Settings all = settings;
  if (balanced) all.push_back(field("/routing/kind", "\"balanced\""));
  Scenario scenario;
  try {
    scenario = read_scenario(request.scenario, all);
  } catch (const UnknownKey&) {
    throw;  // a misspelt choice is no plan
  } catch (const InputError& error) {
    point.refusal = error.what();
    return;
  }
  RunOptions options;
  options.main_phase_only = true;
  RunResult run = run_scenario(scenario, options);
  PhaseResult& main = run.phases.front();
  point.refusal = main.refusal;
  if (!point.refusal.empty()) return;
  for (const RankMemory& rank : main.memory) point.memory = std::max(point.memory, rank.total());
  point.fits = main.fits;
  if (balanced)
    point.balanced_step = main.step_time;
  else
    point.as_asked = std::move(main);
}

// The file in front of a message says nothing here.
std::string without_file(const std::string& message) {
  const std::size_t at = message.find(": /");
  return at == std::string::npos ? message : message.substr(at + 2);
}

}  // namespace

std::vector<FieldAxis> training_axes(const Scenario& scenario) {
  const ModelSpec& model = scenario.model;
  const std::int64_t gpus = scenario.cluster.num_gpus();
  std::vector<FieldAxis> axes;
  FieldAxis tp = powers_of_two("tp", 1, scenario.cluster.gpus_per_node);
  for (FieldAxis::Alternative& a : tp.alternatives)
    a.set.push_back(field("/plan/sequence_parallel", a.name == "tp 1" ? "false" : "true"));
  axes.push_back(std::move(tp));
  axes.push_back(powers_of_two("pp", 1, std::min<std::int64_t>({32, model.num_layers, gpus})));
  if (model.moe)
    axes.push_back(powers_of_two("ep", 8, std::min<std::int64_t>(model.moe->num_experts, gpus)));
  axes.push_back({"schedule", schedule_alternatives(scenario)});
  axes.push_back(powers_of_two("microbatch", 1, 2));
  axes.push_back({"recompute",
                  {{"recompute norms, up-projections, SwiGLU",
                    {field("/plan/recompute", R"(["norm", "latent_up_projection", "swiglu"])")}},
                   {"recompute nothing", {field("/plan/recompute", "\"none\"")}},
                   {"recompute all", {field("/plan/recompute", "\"full\"")}}}});
  return axes;
}

PlanSearch search_plans(const SearchRequest& request) {
  const Scenario own = read_scenario(request.scenario, request.settings);
  JsonNode first_phase = *read_json_file(request.scenario).find("phases");
  first_phase.items.resize(1);
  PlanSearch search;
  search.axes = request.axes;
  std::size_t num_combinations = 1;
  for (const FieldAxis& axis : request.axes) num_combinations *= axis.alternatives.size();
  search.points.resize(1 + num_combinations);
  for (std::size_t i = 0; i < num_combinations; ++i) {
    std::size_t rest = i;
    for (const FieldAxis& axis : request.axes) {
      search.points[i + 1].choice.push_back(rest % axis.alternatives.size());
      rest /= axis.alternatives.size();
    }
  }
  if (request.progress)
    request.progress("simulating " + std::to_string(num_combinations) + " plans");
  parallel_for(search.points.size(), request.num_threads, [&](std::size_t i) {
    SearchPoint& point = search.points[i];
    Settings settings;
    point.refusal = add_settings(request, first_phase, own, point, settings);
    if (point.refusal.empty()) simulate(request, settings, true, point);
    point.refusal = without_file(point.refusal);
  });

  std::vector<std::size_t> order;
  for (std::size_t i = 1; i < search.points.size(); ++i)
    if (search.points[i].refusal.empty() && search.points[i].fits) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return search.points[a].balanced_step < search.points[b].balanced_step;
  });
  order.resize(std::min(order.size(), request.num_best));
  order.push_back(0);
  if (request.progress)
    request.progress("simulating the best " + std::to_string(order.size() - 1) + " as asked");
  parallel_for(order.size(), request.num_threads, [&](std::size_t k) {
    SearchPoint& point = search.points[order[k]];
    if (!point.refusal.empty()) return;
    Settings settings;
    add_settings(request, first_phase, own, point, settings);
    simulate(request, settings, false, point);
  });
  for (const std::size_t i : order)
    if (search.points[i].as_asked && search.points[i].fits) search.ranking.push_back(i);
  std::stable_sort(search.ranking.begin(), search.ranking.end(), [&](std::size_t a, std::size_t b) {
    return search.points[a].as_asked->step_time < search.points[b].as_asked->step_time;
  });
  return search;
}

}  // namespace moesim
