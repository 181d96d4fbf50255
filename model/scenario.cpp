#include "model/scenario.hpp"

#include <cmath>
#include <cstdio>

namespace moesim {
namespace {

namespace fs = std::filesystem;

// Replaces the file name under `key` by the file's content.
void resolve(JsonNode& object, const std::string& key, const fs::path& folder) {
  if (object.kind != JsonNode::Kind::object) return;  // ObjectReader complains later, with the place
  for (auto& [name, value] : object.members) {
    if (name != key || value.kind != JsonNode::Kind::string) continue;
    const fs::path path = folder / value.text;
    JsonNode content;
    try {
      content = read_json_file(path.lexically_normal());
    } catch (const InputError& error) {
      throw InputError(value.place(), error.what());
    }
    if (key == "model") {  // a config.json has no name of its own: keep the file's
      content.members.emplace_back("_name_or_path", JsonNode{});
      content.members.back().second.kind = JsonNode::Kind::string;
      content.members.back().second.text = path.stem().string();
    }
    if (key == "cluster" || key == "profile") resolve(content, "gpu", path.parent_path());
    value = std::move(content);
  }
}

std::string fnv1a_hex(const std::string& text) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  char buffer[17];
  std::snprintf(buffer, sizeof buffer, "%016llx", static_cast<unsigned long long>(h));
  return buffer;
}

RoutingSpec read_routing(const JsonNode& node, const ModelSpec& model) {
  ObjectReader reader(node);
  RoutingSpec spec;
  spec.kind = reader.choice("kind", {"balanced", "sampled"}) == "sampled" ? RoutingKind::sampled : RoutingKind::balanced;
  spec.max_groups = model.moe ? model.moe->max_groups : 1;
  if (reader.has("max_groups")) {
    if (!model.moe) reader.fail("max_groups", "given, but " + model.name + " has no experts");
    spec.max_groups = reader.integer("max_groups", 1, model.moe->num_groups);
    if (spec.max_groups * (model.moe->num_experts / model.moe->num_groups) < model.moe->top_k)
      reader.fail("max_groups", std::to_string(spec.max_groups) + " groups cannot hold top-" + std::to_string(model.moe->top_k));
  }
  spec.popularity_cv = spec.kind == RoutingKind::sampled ? reader.number("popularity_cv", 0, 10) : reader.number_or("popularity_cv", 0, 10, 0);
  if (spec.kind == RoutingKind::balanced && spec.popularity_cv != 0) reader.fail("popularity_cv", "balanced routing has no unequal popularity; expected 0");
  reader.finish();
  return spec;
}

// Members of `changes` replace those of `base`.
JsonNode merged(const JsonNode& base, const JsonNode& changes) {
  if (base.kind != JsonNode::Kind::object || changes.kind != JsonNode::Kind::object) return changes;
  JsonNode result = base;
  for (const auto& [key, value] : changes.members) {
    bool found = false;
    for (auto& [name, old] : result.members)
      if (name == key) {
        old = value;
        found = true;
      }
    if (!found) result.members.emplace_back(key, value);
  }
  return result;
}

void check_batch(const ObjectReader& reader, const TrainingPhase& phase) {
  const ParallelPlan& p = phase.plan;
  if (p.schedule == ScheduleKind::overlapped_pair) {
    if (phase.batch != 2 * p.dp) reader.fail("batch", "an overlapped pair is two microbatches on each of dp " + std::to_string(p.dp) + " ranks; expected " + std::to_string(2 * p.dp) + ", found " + std::to_string(phase.batch));
  } else if (phase.batch % p.dp != 0) {
    reader.fail("batch", std::to_string(phase.batch) + " sequences are not divisible by dp " + std::to_string(p.dp));
  }
  if (phase.seq_len % p.cp != 0) reader.fail("seq_len", std::to_string(phase.seq_len) + " is not divisible by cp " + std::to_string(p.cp));
}

// A ramp grows the batch linearly in tokens; it is cut into `num_stages` stretches of equal tokens, each at its middle batch
// rounded to what the plan can run.
void add_ramp(ObjectReader& ramp, const TrainingPhase& full, std::vector<TrainingPhase>& phases, double& tokens_left) {
  const std::int64_t from = ramp.integer("from_batch", 1, full.batch);
  const auto tokens = static_cast<double>(ramp.count("tokens"));
  const std::int64_t num_stages = ramp.integer("num_stages", 1, 64);
  ramp.finish();
  if (tokens >= tokens_left) ramp.fail("tokens", "the ramp is longer than the phase");
  const std::int64_t unit = 2 * full.plan.dp;  // an even number of microbatches on every pipeline
  for (std::int64_t i = 0; i < num_stages; ++i) {
    const double middle = (static_cast<double>(i) + 0.5) / static_cast<double>(num_stages);
    const double batch = static_cast<double>(from) + middle * static_cast<double>(full.batch - from);
    TrainingPhase stage = full;
    stage.batch = std::max<std::int64_t>(unit, std::llround(batch / static_cast<double>(unit)) * unit);
    stage.name = full.name + ", batch ramp " + std::to_string(i + 1) + "/" + std::to_string(num_stages);
    stage.tokens = tokens / static_cast<double>(num_stages);
    if (stage.batch < stage.plan.pp * unit && stage.plan.schedule == ScheduleKind::dualpipe) stage.plan.schedule = stage.plan.fallback_schedule;
    stage.routing.kind = RoutingKind::balanced;  // a ramp stage is a small share of the run: every rank alike, folded
    phases.push_back(std::move(stage));
  }
  tokens_left -= tokens;
}

std::vector<TrainingPhase> read_phases(ObjectReader& scenario, const ModelSpec& model, const ClusterSpec& cluster) {
  const JsonNode& plan = scenario.required("plan");
  const JsonNode& routing = scenario.required("routing");
  const JsonNode& list = scenario.required("phases");
  if (list.kind != JsonNode::Kind::array || list.items.empty()) scenario.fail("phases", "expected an array of at least one phase");
  std::vector<TrainingPhase> main, ramps;
  for (const JsonNode& item : list.items) {
    ObjectReader reader(item);
    TrainingPhase phase;
    phase.name = reader.text("name");
    if (reader.has("gpu_hours")) {
      phase.stated_gpu_hours = reader.number("gpu_hours", 0, 1e12);
      phase.source = reader.text("source");
      reader.finish();
      main.push_back(std::move(phase));
      continue;
    }
    const JsonNode* changed_plan = reader.optional("plan");
    const JsonNode* changed_routing = reader.optional("routing");
    phase.plan = read_parallel_plan(changed_plan ? merged(plan, *changed_plan) : plan, model, cluster);
    phase.routing = read_routing(changed_routing ? merged(routing, *changed_routing) : routing, model);
    phase.seq_len = reader.integer("seq_len", 1, std::int64_t{1} << 32);
    phase.batch = reader.integer("batch", 1, std::int64_t{1} << 32);
    check_batch(reader, phase);
    const auto step_tokens = static_cast<double>(phase.seq_len * phase.batch);
    const bool by_steps = reader.has("steps");
    phase.tokens = by_steps ? step_tokens * static_cast<double>(reader.integer("steps", 1, std::int64_t{1} << 40)) : static_cast<double>(reader.count("tokens"));
    if (reader.has("ramp")) {
      ObjectReader ramp = reader.object("ramp");
      double left = phase.tokens;
      add_ramp(ramp, phase, ramps, left);
      phase.tokens = left;
    }
    reader.finish();
    main.push_back(std::move(phase));
  }
  if (main.front().stated_gpu_hours) scenario.fail("phases", "the first phase must be simulated; it only states gpu_hours");
  main.insert(main.end(), ramps.begin(), ramps.end());
  return main;
}

std::vector<Variant> read_variants(ObjectReader& scenario) {
  std::vector<Variant> variants;
  const JsonNode* list = scenario.optional("variants");
  if (list == nullptr) return variants;
  if (list->kind != JsonNode::Kind::array) scenario.fail("variants", "expected an array");
  for (const JsonNode& item : list->items) {
    ObjectReader reader(item);
    Variant v;
    v.name = reader.text("name");
    v.because = reader.text("because");
    for (const auto& [pointer, value] : reader.object("set").node().members) v.set.emplace_back(pointer, value);
    reader.finish();
    variants.push_back(std::move(v));
  }
  return variants;
}

}  // namespace

Scenario read_scenario(const std::filesystem::path& path, const std::vector<std::pair<std::string, JsonNode>>& settings) {
  JsonNode document = read_json_file(path);
  const fs::path folder = path.parent_path();
  // Settings that replace a whole reference ("/cluster") come before the references are opened; the rest after.
  auto replaces_reference = [](const std::string& p) { return p == "/model" || p == "/cluster" || p == "/profile"; };
  std::vector<std::pair<std::string, JsonNode>> overrides;
  if (const JsonNode* in_file = document.find("override")) {
    if (in_file->kind != JsonNode::Kind::object) throw InputError(in_file->place(), "expected an object of JSON pointers, found " + in_file->describe());
    overrides = in_file->members;
  }
  overrides.insert(overrides.end(), settings.begin(), settings.end());
  for (const auto& [pointer, value] : overrides)
    if (replaces_reference(pointer)) set_at(document, pointer, value, value.place());
  for (const char* key : {"model", "cluster", "profile"}) resolve(document, key, folder);
  for (const auto& [pointer, value] : overrides)
    if (!replaces_reference(pointer)) set_at(document, pointer, value, value.place(), pointer.rfind("/routing/", 0) == 0 || pointer.rfind("/plan/", 0) == 0);

  ObjectReader reader(document);
  Scenario scenario;
  scenario.name = reader.text("name");
  scenario.description = reader.text("description");
  reader.ignore("override");
  const JsonNode& config = reader.required("model");
  const JsonNode* model_name = config.find("_name_or_path");
  scenario.model = read_model_spec(config, model_name != nullptr && model_name->kind == JsonNode::Kind::string ? model_name->text : scenario.name);
  for (const std::int64_t window : scenario.model.attention_window)
    if (window != 0) reader.fail("model", scenario.model.name + " alternates windowed attention, which is not modelled in training yet");
  scenario.cluster = read_cluster_spec(reader.required("cluster"));
  scenario.profile = read_profile(reader.required("profile"));
  scenario.seed = static_cast<std::uint64_t>(reader.integer("seed", 0, std::int64_t{1} << 62));
  if (reader.has("assumptions")) scenario.assumptions = reader.text_list("assumptions");
  scenario.phases = read_phases(reader, scenario.model, scenario.cluster);
  scenario.variants = read_variants(reader);
  reader.finish();
  scenario.hash = fnv1a_hex(canonical_text(document));
  return scenario;
}

}  // namespace moesim
