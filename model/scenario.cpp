#include "model/scenario.hpp"

#include <algorithm>
#include <cmath>

#include "model/composed_scenario.hpp"
#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/model_counts.hpp"
#include "model/sequence_ramp.hpp"

namespace moesim {
namespace {

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
  if (drawn && phase.batch * p.cp * p.tp > kMostLayerLoads / model.num_layers)
    reader.fail("batch",
                std::to_string(phase.batch) + " sequences x cp " + std::to_string(p.cp) +
                    (p.tp == 1 ? "" : " x tp " + std::to_string(p.tp)) + " x " +
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
  // Ranks of a ring hold a piece of either end of the sequence, so that all have equal work.
  if (p.cp_method == ContextMethod::ring && phase.seq_len % (2 * p.cp) != 0)
    reader.fail("seq_len",
                std::to_string(phase.seq_len) + " is not divisible by 2 x cp " +
                    std::to_string(p.cp) + " = " + std::to_string(2 * p.cp) +
                    " pieces, two for each rank of the ring");
  const std::int64_t tokens = p.microbatch * phase.seq_len / p.cp;
  if (p.sequence_parallel && tokens % p.tp != 0)
    reader.fail("seq_len",
                std::to_string(tokens) + " tokens of a microbatch are not divisible by tp " +
                    std::to_string(p.tp) + ", over which \"sequence_parallel\" spreads them");
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

Scenario read_scenario(const std::filesystem::path& path, const Settings& settings) {
  return read_scenario(compose_document(path, settings));
}

Scenario read_scenario(const JsonNode& document) {
  if (const JsonNode* serving = document.find("serving"))
    throw InputError(serving->place(),
                     "a serving scenario; `moesim run` and `moesim capacity` simulate it, and this "
                     "needs one of training (\"phases\")");
  ObjectReader reader(document);
  Scenario scenario;
  read_base(reader, scenario);
  scenario.phases = read_phases(reader, scenario.model, scenario.cluster, scenario.seed);
  if (const JsonNode* operations = reader.optional("operations"))
    scenario.operations = read_run_operations(*operations, scenario);
  scenario.variants = read_variants(reader);
  reader.finish();
  scenario.hash = document_hash(document, recorded_loads(scenario.phases));
  return scenario;
}

}  // namespace moesim
