#include "sim/plan_reader.hpp"

#include <algorithm>

#include "model/errors.hpp"
#include "sim/plan_axes.hpp"

namespace moesim {
namespace {

constexpr const char* kPlan = "/plan/";

bool is_of_plan(const std::string& pointer) { return pointer.rfind(kPlan, 0) == 0; }

std::int64_t degree(const ParallelPlan& own, const Settings& settings, const std::string& key) {
  for (auto it = settings.rbegin(); it != settings.rend(); ++it)
    if (it->first == kPlan + key) return as_integer(it->second, 1, 1 << 20);
  return key == "tp" ? own.tp : key == "cp" ? own.cp : own.pp;
}

// The file in front of a message says nothing here.
std::string without_file(const std::string& message) {
  const std::size_t at = message.find(": /");
  return at == std::string::npos ? message : message.substr(at + 2);
}

// Microbatches that are certainly not too many to simulate: far below the limit of
// model/scenario.cpp, which is asked above it.
constexpr std::int64_t kFewLayerPasses = 1 << 20;

}  // namespace

PlanReader::PlanReader(const std::filesystem::path& scenario,
                       const Settings& settings,
                       const std::vector<FieldAxis>& axes)
    : path_(scenario), settings_(settings), axes_(axes) {
  const Scenario own = read_scenario(path_, settings_);
  first_phase_ = *read_json_file(path_).find("phases");
  first_phase_.items.resize(1);
  std::size_t num_worlds = 1;
  for (const FieldAxis& axis : axes_) {
    num_combinations_ *= axis.alternatives.size();
    bool of_world = false;
    for (const FieldAxis::Alternative& alternative : axis.alternatives)
      for (const auto& [pointer, value] : alternative.set)
        of_world = of_world || !is_of_plan(pointer);
    is_of_world_.push_back(of_world);
    if (of_world) num_worlds *= axis.alternatives.size();
  }
  own_.scenario = read_whole(own_, {}, /*balanced=*/true);
  own_.model = std::make_unique<CostModel>(own_.scenario->profile, own_.scenario->cluster.gpu);
  read_worlds_.resize(num_worlds);
  worlds_.resize(num_worlds + 1);
  std::vector<std::vector<std::size_t>> members(num_worlds);
  for (std::size_t i = 0; i < num_combinations_; ++i) members[world_of(choice(i))].push_back(i);
  for (std::size_t w = 0; w < num_worlds; ++w) {
    start_world(w, choice(members[w].front()));
    find_scenario(w, members[w]);
  }
  const TrainingPhase& phase = own_.scenario->phases.front();
  worlds_.back() = {"as it is",
                    own_.scenario->cluster.num_gpus(),
                    own_.scenario->cluster.price,
                    phase.tokens,
                    static_cast<double>(phase.seq_len * phase.batch)};
}

std::vector<std::size_t> PlanReader::choice(std::size_t combination) const {
  std::vector<std::size_t> chosen;
  for (const FieldAxis& axis : axes_) {
    chosen.push_back(combination % axis.alternatives.size());
    combination /= axis.alternatives.size();
  }
  return chosen;
}

std::size_t PlanReader::world_of(const std::vector<std::size_t>& choice) const {
  if (choice.empty()) return read_worlds_.size();
  std::size_t world = 0, factor = 1;
  for (std::size_t a = 0; a < axes_.size(); ++a) {
    if (!is_of_world_[a]) continue;
    world += factor * choice[a];
    factor *= axes_[a].alternatives.size();
  }
  return world;
}

void PlanReader::start_world(std::size_t index, const std::vector<std::size_t>& choice) {
  World& world = read_worlds_[index];
  for (std::size_t a = 0; a < axes_.size(); ++a) {
    if (!is_of_world_[a]) continue;
    const FieldAxis::Alternative& alternative = axes_[a].alternatives[choice[a]];
    worlds_[index].name += (worlds_[index].name.empty() ? "" : ", ") + alternative.name;
    for (const auto& change : alternative.set)
      if (!is_of_plan(change.first)) world.settings.push_back(change);
  }
  world.document = compose_document(path_, all_settings(world, {}, /*balanced=*/true));
  try {
    const ClusterSpec cluster = read_cluster_spec(ObjectReader(world.document).required("cluster"));
    worlds_[index].gpus = cluster.num_gpus();
    worlds_[index].price = cluster.price;
  } catch (const UnknownKey&) {
    throw;
  } catch (const InputError& error) {
    world.refusal = without_file(error.what());
  }
  const JsonNode* phases = world.document.find("phases");
  world.reads_whole =
      phases == nullptr || phases->items.empty() || phases->items.front().find("plan") != nullptr;
}

void PlanReader::find_scenario(std::size_t index, const std::vector<std::size_t>& combinations) {
  World& world = read_worlds_[index];
  if (!world.refusal.empty()) return;
  for (const std::size_t i : combinations) {
    Settings plan = plan_settings(choice(i));
    if (!add_degree(worlds_[index].gpus, plan).empty()) continue;
    try {
      world.scenario = read_whole(world, plan, /*balanced=*/true);
    } catch (const UnknownKey&) {
      throw;
    } catch (const InputError&) {
      continue;  // says so when it is read for itself
    }
    world.model = std::make_unique<CostModel>(world.scenario->profile, world.scenario->cluster.gpu);
    const TrainingPhase& phase = world.scenario->phases.front();
    worlds_[index].tokens = phase.tokens;
    worlds_[index].step_tokens = static_cast<double>(phase.seq_len * phase.batch);
    return;
  }
}

Settings PlanReader::plan_settings(const std::vector<std::size_t>& choice) const {
  Settings plan = {field_setting("/plan/layers_per_stage", "null"),
                   field_setting("/plan/fallback_schedule", "null")};
  for (std::size_t a = 0; a < choice.size(); ++a)
    for (const auto& change : axes_[a].alternatives[choice[a]].set)
      if (is_of_plan(change.first)) plan.push_back(change);
  return plan;
}

std::string PlanReader::add_degree(std::int64_t gpus, Settings& plan) const {
  const ParallelPlan& own = own_.scenario->phases.front().plan;
  const std::int64_t tp = degree(own, plan, "tp"), cp = degree(own, plan, "cp"),
                     pp = degree(own, plan, "pp");
  if (gpus % (tp * cp * pp) != 0)
    return std::to_string(gpus) + " GPUs are no multiple of tp " + std::to_string(tp) + " x cp " +
           std::to_string(cp) + " x pp " + std::to_string(pp);
  plan.push_back(field_setting("/plan/dp", gpus / (tp * cp * pp)));
  return "";
}

Settings PlanReader::all_settings(const World& world, const Settings& plan, bool balanced) const {
  Settings all = settings_;
  // Other phases may have plans of their own, which do not follow this one.
  all.insert(all.begin(), {"/phases", first_phase_});
  all.insert(all.end(), world.settings.begin(), world.settings.end());
  all.insert(all.end(), plan.begin(), plan.end());
  if (balanced) all.push_back(field_setting("/routing/kind", "\"balanced\""));
  return all;
}

Scenario PlanReader::read_whole(const World& world, const Settings& plan, bool balanced) const {
  return read_scenario(path_, all_settings(world, plan, balanced));
}

JsonNode PlanReader::plan_node(const World& world, const Settings& plan) {
  const JsonNode* given = world.document.find("plan");
  if (given == nullptr) throw InputError(world.document.place(), "missing key \"plan\"");
  JsonNode node = *given;
  for (const auto& [pointer, value] : plan)
    set_at(node, pointer.substr(std::string(kPlan).size() - 1), value, value.place(), true);
  return node;
}

void PlanReader::check_batch_of(std::size_t index,
                                const Settings& plan,
                                const TrainingPhase& phase) const {
  const ParallelPlan& p = phase.plan;
  const std::int64_t rank_tokens = p.microbatch * phase.seq_len / p.cp;
  const bool is_fine =
      phase.batch % (p.dp * p.microbatch) == 0 && phase.seq_len % (2 * p.cp) == 0 &&
      rank_tokens % p.tp == 0 &&
      num_microbatches(p, phase.batch) * read_worlds_[index].scenario->model.num_layers <
          kFewLayerPasses;
  if (is_fine) return;
  std::string key = std::to_string(index);
  for (const std::int64_t n :
       {p.tp, p.cp, p.pp, p.dp, p.microbatch, std::int64_t{p.sequence_parallel}})
    key += " " + std::to_string(n);
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = batch_refusals_.find(key); known != batch_refusals_.end()) {
      if (!known->second.empty()) throw InputError("", known->second);
      return;
    }
  }
  std::string refusal;
  try {
    read_whole(read_worlds_[index], plan, /*balanced=*/true);
  } catch (const InputError& error) {
    refusal = error.what();
  }
  const std::lock_guard lock(mutex_);
  batch_refusals_[key] = refusal;
  if (!refusal.empty()) throw InputError("", refusal);
}

TrainingPhase PlanReader::read_phase(std::size_t index, const Settings& plan) const {
  const World& world = read_worlds_[index];
  if (!world.scenario || world.reads_whole)
    return read_whole(world, plan, /*balanced=*/true).phases.front();
  TrainingPhase phase = world.scenario->phases.front();
  phase.plan =
      read_parallel_plan(plan_node(world, plan), world.scenario->model, world.scenario->cluster);
  check_batch_of(index, plan, phase);
  return phase;
}

PlanReader::Plan PlanReader::read(const std::vector<std::size_t>& choice) const {
  if (choice.empty()) return {"", own_.scenario->phases.front(), &*own_.scenario, own_.model.get()};
  const std::size_t index = world_of(choice);
  const World& world = read_worlds_[index];
  Plan result;
  result.refusal = world.refusal;
  if (!result.refusal.empty()) return result;
  Settings plan = plan_settings(choice);
  result.refusal = add_degree(worlds_[index].gpus, plan);
  if (!result.refusal.empty()) return result;
  try {
    result.phase = read_phase(index, plan);
    result.scenario = &*world.scenario;
    result.model = world.model.get();
  } catch (const UnknownKey&) {
    throw;  // a misspelt choice is no plan
  } catch (const InputError& error) {
    result.refusal = without_file(error.what());
  }
  return result;
}

Scenario PlanReader::read_as_asked(const std::vector<std::size_t>& choice) const {
  if (choice.empty()) return read_whole(own_, {}, /*balanced=*/false);
  const std::size_t index = world_of(choice);
  Settings plan = plan_settings(choice);
  ENSURE(add_degree(worlds_[index].gpus, plan).empty());
  return read_whole(read_worlds_[index], plan, /*balanced=*/false);
}

}  // namespace moesim
