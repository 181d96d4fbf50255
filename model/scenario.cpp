#include "model/scenario.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/model_counts.hpp"
#include "model/sequence_ramp.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

using Overrides = std::vector<std::pair<std::string, JsonNode>>;

// The longest context window announced has 1e8 tokens (Magic LTM-2, 2024).
constexpr std::int64_t kMostSeqLen = 1 << 27;
constexpr std::int64_t kMostBatch = 1 << 30;
// DeepSeek-V3 needs 61 x 120 = 7,320 passes and 61 x 15,360 = 936,960 loads. At the limits they
// take a few GB of memory.
constexpr std::int64_t kMostLayerPasses = 1 << 22;
constexpr std::int64_t kMostLayerLoads = 1 << 26;
// The clock counts picoseconds in 64 bits and ends after 106 days (model/units.hpp). Far below,
// because this counts work at the datasheet peak.
constexpr std::int64_t kMostDaysAtPeak = 5;

bool is_below(const std::string& pointer, const std::string& parent) {
  return pointer.rfind(parent + "/", 0) == 0;
}

// The model's name in messages and reports: a published config.json may carry a path of its
// authors' under this key.
void set_model_name(JsonNode& config, const std::string& name) {
  if (config.kind != JsonNode::Kind::object)
    return;  // ObjectReader complains later, with the place
  JsonNode text;
  text.kind = JsonNode::Kind::string;
  text.text = name;
  for (auto& [key, value] : config.members) {
    if (key == "_name_or_path") {
      value = std::move(text);
      return;
    }
  }
  config.members.emplace_back("_name_or_path", std::move(text));
}

// Replaces the file name under `key` by the file's content.
void resolve(JsonNode& object, const std::string& key, const fs::path& folder) {
  if (object.kind != JsonNode::Kind::object)
    return;  // ObjectReader complains later, with the place
  for (auto& [name, value] : object.members) {
    if (name != key) continue;
    const bool names_gpu = key == "cluster" || key == "profile";
    if (value.kind == JsonNode::Kind::object) {  // in place; it may still name its GPU's file
      if (names_gpu) resolve(value, "gpu", folder);
      continue;
    }
    if (value.kind == JsonNode::Kind::null) continue;  // a missing key
    if (value.kind != JsonNode::Kind::string || value.text.empty())
      throw InputError(value.place(),
                       "expected a file name or an object, found " + value.describe());
    const fs::path path = folder / value.text;
    JsonNode content;
    try {
      content = read_json_file(path.lexically_normal());
    } catch (const InputError& error) {
      throw InputError(value.place(), error.what());
    }
    if (key == "model") set_model_name(content, path.stem().string());
    if (names_gpu) resolve(content, "gpu", path.parent_path());
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

// Members of `changes` replace those of `base`. The whole is placed at the changes.
JsonNode merged(const JsonNode& base, const JsonNode& changes) {
  if (base.kind != JsonNode::Kind::object || changes.kind != JsonNode::Kind::object) return changes;
  JsonNode result = base;
  result.file = changes.file;
  result.pointer = changes.pointer;
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

// `read` on `base` with a phase's changes, if it has any. What is wrong with a value of `base` is
// then told with the place of the changes as well: the value may only be wrong beside them.
template <class Read>
auto read_changed(const JsonNode& base, const JsonNode* changes, Read read) {
  if (changes == nullptr) return read(base);
  const ObjectReader refuses_all_but_objects(base);
  const JsonNode whole = merged(base, *changes);
  const std::string place = changes->place();
  try {
    return read(whole);
  } catch (const InputError& error) {
    std::string problem = error.what();
    if (problem.rfind(place, 0) == 0) throw;
    const std::string file = changes->file ? one_line(*changes->file) + ": " : "";
    if (problem.rfind(file, 0) == 0) problem.erase(0, file.size());
    throw InputError(place, problem);
  }
}

// Refuses what could not be simulated before anything is allocated for it.
void check_size(const ObjectReader& reader,
                const TrainingPhase& phase,
                const ModelSpec& model,
                const ClusterSpec& cluster) {
  const ParallelPlan& p = phase.plan;
  const std::int64_t microbatches = num_microbatches(p, phase.batch);
  if (microbatches > kMostLayerPasses / model.num_layers)
    reader.fail("batch",
                std::to_string(microbatches) + " microbatches x " +
                    std::to_string(model.num_layers) +
                    " layers are too many to simulate; expected a product of at most " +
                    std::to_string(kMostLayerPasses));
  const bool drawn = model.moe && phase.routing.kind == RoutingKind::sampled;
  if (drawn && phase.batch * p.cp > kMostLayerLoads / model.num_layers)
    reader.fail("batch",
                std::to_string(phase.batch) + " sequences x cp " + std::to_string(p.cp) + " x " +
                    std::to_string(model.num_layers) +
                    " layers are too many loads to draw; expected a product of at most " +
                    std::to_string(kMostLayerLoads) + ", or routing of kind \"balanced\"");
  const double tokens = static_cast<double>(phase.seq_len) * static_cast<double>(phase.batch);
  const Flop work =
      tokens * flops_per_token(model, phase.seq_len, AttentionConvention::causal).training();
  const Seconds at_peak = work / (static_cast<double>(cluster.num_gpus()) * cluster.gpu.peak_bf16);
  if (at_peak > static_cast<double>(kMostDaysAtPeak) * day)
    reader.fail("batch",
                std::to_string(phase.batch) + " sequences of " + std::to_string(phase.seq_len) +
                    " tokens are a step of " + number_text(std::round(at_peak.in(day))) +
                    " days at the cluster's BF16 peak; expected at most " +
                    std::to_string(kMostDaysAtPeak));
}

void check_batch(const ObjectReader& reader, const TrainingPhase& phase) {
  const ParallelPlan& p = phase.plan;
  if (p.schedule == ScheduleKind::overlapped_pair) {
    if (phase.batch != 2 * p.dp)
      reader.fail("batch",
                  "an overlapped pair is two microbatches on each of dp " + std::to_string(p.dp) +
                      " ranks; expected " + std::to_string(2 * p.dp) + ", found " +
                      std::to_string(phase.batch));
  } else if (phase.batch % (p.dp * p.microbatch) != 0) {
    reader.fail("batch",
                std::to_string(phase.batch) + " sequences are not divisible by dp " +
                    std::to_string(p.dp) +
                    (p.microbatch == 1 ? ""
                                       : " x microbatch " + std::to_string(p.microbatch) + " = " +
                                             std::to_string(p.dp * p.microbatch)));
  }
  if (phase.seq_len % p.cp != 0)
    reader.fail("seq_len",
                std::to_string(phase.seq_len) + " is not divisible by cp " + std::to_string(p.cp));
}

// `index`: of the phase the ramp opens. A ramp grows the batch linearly in tokens; it is cut into
// `num_stages` stretches of equal tokens, each at its middle batch rounded to what the plan can
// run.
void add_ramp(ObjectReader& ramp,
              const TrainingPhase& full,
              std::size_t index,
              std::vector<TrainingPhase>& phases,
              double& tokens_left) {
  const std::int64_t from = ramp.integer("from_batch", 1, full.batch);
  const auto tokens = static_cast<double>(ramp.count("tokens"));
  const std::int64_t num_stages = ramp.integer("num_stages", 1, 64);
  ramp.finish();
  if (tokens >= tokens_left)
    ramp.fail("tokens",
              "a ramp of " + number_text(tokens) + " tokens is not shorter than the phase of " +
                  number_text(tokens_left));
  const std::int64_t unit =
      2 * full.plan.dp * full.plan.microbatch;  // an even number of microbatches on every pipeline
  for (std::int64_t i = 0; i < num_stages; ++i) {
    const double middle = (static_cast<double>(i) + 0.5) / static_cast<double>(num_stages);
    const double batch =
        static_cast<double>(from) + middle * static_cast<double>(full.batch - from);
    TrainingPhase stage = full;
    stage.ramp_of = index;
    stage.batch =
        std::max<std::int64_t>(unit, std::llround(batch / static_cast<double>(unit)) * unit);
    stage.name =
        full.name + ", batch ramp " + std::to_string(i + 1) + "/" + std::to_string(num_stages);
    stage.tokens = tokens / static_cast<double>(num_stages);
    const ScheduleKind schedule = stage.plan.schedule;
    if (stage.batch < stage.plan.pp * unit &&
        (schedule == ScheduleKind::dualpipe || schedule == ScheduleKind::dualpipe_v))
      stage.plan.schedule = stage.plan.fallback_schedule;
    stage.routing.kind = RoutingKind::balanced;  // a ramp stage is a small share of the run: every
                                                 // rank alike, folded
    phases.push_back(std::move(stage));
  }
  tokens_left -= tokens;
}

std::vector<TrainingPhase> read_phases(ObjectReader& scenario,
                                       const ModelSpec& model,
                                       const ClusterSpec& cluster,
                                       std::uint64_t seed) {
  const JsonNode& plan = scenario.required("plan");
  const JsonNode& routing = scenario.required("routing");
  const JsonNode& list = scenario.required("phases");
  if (list.kind != JsonNode::Kind::array || list.items.empty())
    scenario.fail("phases",
                  "expected an array of at least one phase, found " +
                      (list.kind == JsonNode::Kind::array ? "an empty array" : list.describe()));
  std::vector<TrainingPhase> main, ramps;
  for (const JsonNode& item : list.items) {
    ObjectReader reader(item);
    TrainingPhase phase;
    phase.name = reader.text("name");
    if (reader.has("gpu_hours")) {
      if (main.empty())
        reader.fail("gpu_hours", "the first phase must be simulated; it only states gpu_hours");
      phase.stated_gpu_hours = reader.number("gpu_hours", 0, 1e12);
      phase.source = reader.text("source");
      reader.finish();
      main.push_back(std::move(phase));
      continue;
    }
    const JsonNode* changed_plan = reader.optional("plan");
    const JsonNode* changed_routing = reader.optional("routing");
    phase.plan = read_changed(plan, changed_plan, [&](const JsonNode& node) {
      return read_parallel_plan(node, model, cluster);
    });
    phase.routing = read_changed(routing, changed_routing, [&](const JsonNode& node) {
      const RoutingSpec spec = read_routing(node, model);
      if (model.moe)
        check_popularity(
            node, spec, *model.moe, model.num_moe_layers() + model.num_mtp_modules, seed);
      return spec;
    });
    phase.seq_len = reader.integer("seq_len", 1, kMostSeqLen);
    phase.batch = reader.integer("batch", 1, kMostBatch);
    const auto step_tokens = static_cast<double>(phase.seq_len * phase.batch);
    const bool by_steps = reader.has("steps"), by_tokens = reader.has("tokens");
    if (by_steps && by_tokens)
      reader.fail("tokens", "given beside \"steps\"; expected one of the two");
    if (!by_steps && !by_tokens)
      reader.fail("missing key \"tokens\" or \"steps\": how long the phase is");
    phase.tokens =
        by_steps
            ? step_tokens * static_cast<double>(reader.integer("steps", 1, std::int64_t{1} << 40))
            : static_cast<double>(reader.count("tokens"));
    const JsonNode* ramp = reader.optional("ramp");
    const auto check = [&](const ObjectReader& place, const TrainingPhase& checked) {
      check_batch(place, checked);
      check_size(place, checked, model, cluster);
    };
    check(reader, phase);
    if (reader.has("seq_ramp")) {
      if (ramp != nullptr)
        reader.fail(
            "seq_ramp",
            "given beside \"ramp\"; expected one of the two (a stretch may have its batch)");
      for (TrainingPhase& stretch : read_sequence_ramp(reader, main.size(), phase, check))
        ramps.push_back(std::move(stretch));
    }
    reader.finish();
    if (ramp != nullptr) {
      ObjectReader ramp_reader(*ramp);
      double left = phase.tokens;
      add_ramp(ramp_reader, phase, main.size(), ramps, left);
      phase.tokens = left;
    }
    main.push_back(std::move(phase));
  }
  main.insert(main.end(), ramps.begin(), ramps.end());
  return main;
}

// Tables of loads are named by their file in the document; what they hold is part of the scenario
// too.
std::string recorded_loads(const std::vector<TrainingPhase>& phases) {
  std::string text;
  for (const TrainingPhase& phase : phases)
    if (const auto& table = phase.routing.popularity.table)
      for (const auto& layer : table->layers)
        for (const double load : layer) text += number_text(load) + ",";
  return text;
}

// References ("/cluster") are replaced before files are opened, everything else after.
bool replaces_reference(const std::string& pointer) {
  return pointer == "/model" || pointer == "/cluster" || pointer == "/profile" ||
         pointer == "/operations";
}

void apply(const Overrides& overrides, bool references, JsonNode& document) {
  for (const auto& [pointer, value] : overrides) {
    if (pointer.empty() || pointer == "/override" || is_below(pointer, "/override"))
      throw InputError(
          value.place(),
          "expected the path of a value such as \"/plan/ep\", found " + in_quotes(pointer));
    if (replaces_reference(pointer) != references) continue;
    // May be a member that the file leaves out: the readers of these refuse those they do not know.
    const bool may_add = is_below(pointer, "/routing") || is_below(pointer, "/plan") ||
                         is_below(pointer, "/phases") || is_below(pointer, "/cluster/fabric") ||
                         pointer == "/profile/collectives" || pointer == "/operations" ||
                         is_below(pointer, "/operations");
    set_at(document, pointer, value, value.place(), may_add);
  }
}

std::vector<Variant> read_variants(ObjectReader& scenario) {
  std::vector<Variant> variants;
  const JsonNode* list = scenario.optional("variants");
  if (list == nullptr) return variants;
  if (list->kind != JsonNode::Kind::array)
    scenario.fail("variants", "expected an array, found " + list->describe());
  for (const JsonNode& item : list->items) {
    ObjectReader reader(item);
    Variant v;
    v.name = reader.text("name");
    v.because = reader.text("because");
    for (const auto& [pointer, value] : reader.object("set").node().members)
      v.set.emplace_back(pointer, value);
    reader.finish();
    // Whether the values fit is checked where the variant is run; a path that leads nowhere is
    // found here.
    JsonNode copy = scenario.node();
    apply(v.set, /*references=*/false, copy);
    variants.push_back(std::move(v));
  }
  return variants;
}

Operations read_run_operations(const JsonNode& node, const Scenario& scenario) {
  double num_steps = 0;
  for (const TrainingPhase& phase : scenario.phases) {
    if (phase.stated_gpu_hours) continue;
    if (phase.plan.schedule == ScheduleKind::overlapped_pair)
      throw InputError(node.place(),
                       "given, but phase " + in_quotes(phase.name) +
                           " is an overlapped pair of chunks, not steps of a run");
    num_steps += phase.tokens / static_cast<double>(phase.seq_len * phase.batch);
  }
  return read_operations(
      node, scenario.model, scenario.cluster, scenario.phases.front().plan.moment_bytes, num_steps);
}

}  // namespace

Scenario read_scenario(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, JsonNode>>& settings) {
  JsonNode document = read_json_file(path);
  const fs::path folder = path.parent_path();
  Overrides overrides;
  if (const JsonNode* in_file = document.find("override")) {
    if (in_file->kind != JsonNode::Kind::object)
      throw InputError(in_file->place(),
                       "expected an object of JSON pointers, found " + in_file->describe());
    overrides = in_file->members;
  }
  overrides.insert(overrides.end(), settings.begin(), settings.end());
  apply(overrides, /*references=*/true, document);
  for (const char* key : {"model", "cluster", "profile", "operations"})
    resolve(document, key, folder);
  apply(overrides, /*references=*/false, document);
  for (const char* key : {"cluster", "profile"})
    resolve(document, key, folder);  // a GPU's file named by an override

  ObjectReader reader(document);
  Scenario scenario;
  scenario.name = reader.text("name");
  scenario.description = reader.text("description");
  reader.ignore("override");
  const JsonNode& config = reader.required("model");
  const JsonNode* model_name = config.find("_name_or_path");
  scenario.model = read_model_spec(
      config,
      model_name != nullptr && model_name->kind == JsonNode::Kind::string ? model_name->text
                                                                          : scenario.name);
  for (const std::int64_t window : scenario.model.attention_window)
    if (window != 0)
      ObjectReader(config).fail(
          "layer_types",
          one_line(scenario.model.name) +
              " alternates windowed attention, which is not modelled in training yet");
  scenario.cluster = read_cluster_spec(reader.required("cluster"));
  scenario.profile = read_profile(reader.required("profile"));
  scenario.seed = static_cast<std::uint64_t>(reader.integer("seed", 0, std::int64_t{1} << 62));
  if (reader.has("assumptions")) scenario.assumptions = reader.text_list("assumptions");
  scenario.phases = read_phases(reader, scenario.model, scenario.cluster, scenario.seed);
  if (const JsonNode* operations = reader.optional("operations"))
    scenario.operations = read_run_operations(*operations, scenario);
  scenario.variants = read_variants(reader);
  reader.finish();
  scenario.hash = fnv1a_hex(canonical_text(document) + recorded_loads(scenario.phases));
  return scenario;
}

}  // namespace moesim
