#include "model/parallel_plan.hpp"

#include <algorithm>
#include <numeric>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/model_counts.hpp"

namespace moesim {
namespace {

struct ScheduleName {
  const char* name;
  ScheduleKind kind;
};
constexpr ScheduleName kSchedules[] = {{"1f1b", ScheduleKind::one_f_one_b},
                                       {"dualpipe", ScheduleKind::dualpipe},
                                       {"overlapped_pair", ScheduleKind::overlapped_pair}};

ScheduleKind read_schedule(ObjectReader& reader, const std::string& key) {
  const std::string name = reader.choice(key, {"1f1b", "dualpipe", "overlapped_pair"});
  for (const ScheduleName& row : kSchedules)
    if (name == row.name) return row.kind;
  throw std::logic_error("choice and table disagree");
}

std::string product(const ParallelPlan& p) {
  return "tp " + std::to_string(p.tp) + " x cp " + std::to_string(p.cp) + " x pp " +
         std::to_string(p.pp) + " x dp " + std::to_string(p.dp) + " = " + std::to_string(p.world());
}

void check_plan(const ObjectReader& reader,
                const ParallelPlan& plan,
                const ModelSpec& model,
                const ClusterSpec& cluster) {
  if (plan.tp != 1)
    reader.fail(
        "tp",
        "tensor parallelism is not modelled yet; expected 1, found " + std::to_string(plan.tp));
  if (plan.world() != cluster.num_gpus())
    reader.fail(product(plan) + " ranks, but the cluster has " + std::to_string(cluster.num_nodes) +
                " nodes x " + std::to_string(cluster.gpus_per_node) +
                " GPUs = " + std::to_string(cluster.num_gpus()));
  if (plan.ranks_per_stage() % plan.ep != 0)
    reader.fail("ep",
                std::to_string(plan.ep) + " does not divide the tp x cp x dp = " +
                    std::to_string(plan.ranks_per_stage()) + " ranks of a stage");
  if (model.moe && !reader.has("placement") && model.moe->num_experts % plan.ep != 0)
    reader.fail("ep",
                std::to_string(plan.ep) + " does not divide the " +
                    std::to_string(model.moe->num_experts) + " experts of " + one_line(model.name));
  if (!model.moe && plan.ep != 1)
    reader.fail("ep",
                "is " + std::to_string(plan.ep) + ", but " + one_line(model.name) +
                    " has no experts; expected 1");
  if (plan.ep > cluster.gpus_per_node && plan.ep % cluster.gpus_per_node != 0)
    reader.fail("ep",
                std::to_string(plan.ep) + " is more than one node of " +
                    std::to_string(cluster.gpus_per_node) + " GPUs but not whole nodes");
  if (plan.ep < cluster.gpus_per_node && cluster.gpus_per_node % plan.ep != 0 &&
      cluster.num_nodes > 1)
    reader.fail("ep",
                std::to_string(plan.ep) + " does not divide a node of " +
                    std::to_string(cluster.gpus_per_node) +
                    " GPUs: a group would lie across two nodes");
  if (plan.pp > model.num_layers)
    reader.fail("pp",
                std::to_string(plan.pp) + " stages for the " + std::to_string(model.num_layers) +
                    " layers of " + one_line(model.name));
  if (plan.schedule == ScheduleKind::dualpipe && plan.pp % 2 != 0)
    reader.fail("pp", "DualPipe needs an even number of stages, found " + std::to_string(plan.pp));
  if (plan.schedule == ScheduleKind::overlapped_pair && plan.pp != 1)
    reader.fail("pp",
                "an overlapped pair is one stage; expected 1, found " + std::to_string(plan.pp));
  if (plan.fallback_schedule == ScheduleKind::overlapped_pair &&
      plan.schedule != ScheduleKind::overlapped_pair)
    reader.fail("fallback_schedule",
                "an overlapped pair cannot stand in for a pipeline; expected \"1f1b\"");
  if (plan.comm_sms == 0 && plan.ep > 1 && plan.schedule != ScheduleKind::one_f_one_b)
    reader.fail("comm_sms",
                "is 0, but this schedule runs dispatch and combine beside compute kernels and they "
                "need SMs of their own; expected at least 1");
  if (plan.comm_sms >= cluster.gpu.num_sms)
    reader.fail("comm_sms",
                std::to_string(plan.comm_sms) + " leaves no SM of " +
                    std::to_string(cluster.gpu.num_sms) + " for compute");
  if (plan.recipe == Recipe::fp8_block && !cluster.gpu.peak_fp8)
    reader.fail("recipe",
                "\"fp8_block\", but the " + one_line(cluster.gpu.name) +
                    " has no FP8 tensor cores; expected \"bf16\"");
}

void check_layers(const ObjectReader& reader, const ParallelPlan& plan, const ModelSpec& model) {
  const std::vector<std::int64_t>& layers = plan.layers_per_stage;
  const std::int64_t sum = std::accumulate(layers.begin(), layers.end(), std::int64_t{0});
  if (static_cast<std::int64_t>(layers.size()) != plan.pp)
    reader.fail("layers_per_stage",
                "has " + std::to_string(layers.size()) +
                    (layers.size() == 1 ? " entry" : " entries") + " for pp " +
                    std::to_string(plan.pp));
  if (plan.schedule == ScheduleKind::overlapped_pair && sum == 0)
    reader.fail("layers_per_stage", "an overlapped pair needs at least one layer, found 0");
  if (plan.schedule != ScheduleKind::overlapped_pair && sum != model.num_layers)
    reader.fail("layers_per_stage",
                "adds up to " + std::to_string(sum) + ", but " + one_line(model.name) + " has " +
                    std::to_string(model.num_layers) + " layers");
}

// Forward FLOPs of the parts of a stage, relative units, for balancing only.
struct StageWeights {
  double dense, moe, tail;
};
StageWeights stage_weights(const ModelSpec& m, std::int64_t seq_len) {
  const double attention =
      2.0 * static_cast<double>(attention_parameters(m)) +
      static_cast<double>(seq_len * m.num_heads * (m.head_dim + m.value_head_dim()));
  const double head = 2.0 * static_cast<double>(m.vocab * m.hidden);
  const double moe =
      m.moe
          ? attention + 2.0 * static_cast<double>(m.moe->top_k * expert_parameters(m) +
                                                  shared_expert_parameters(m) + gate_parameters(m))
          : 0;
  const double dense = attention + 2.0 * static_cast<double>(dense_ffn_parameters(m));
  const double extra =
      static_cast<double>(m.num_mtp_modules) *
      ((m.moe ? moe : dense) + head + 2.0 * static_cast<double>(mtp_projection_parameters(m)));
  return {dense, moe, head + extra};
}

}  // namespace

const char* schedule_name(ScheduleKind kind) {
  for (const ScheduleName& row : kSchedules)
    if (row.kind == kind) return row.name;
  throw std::logic_error("schedule without a name");
}

RankCoordinates coordinates_of(const ParallelPlan& plan, std::int64_t rank) {
  RankCoordinates c;
  const std::int64_t in_stage = rank % plan.ranks_per_stage();
  c.pp = rank / plan.ranks_per_stage();
  c.cp = in_stage % plan.cp;
  c.dp = in_stage / plan.cp;
  c.ep_group = in_stage / plan.ep;
  c.ep_rank = in_stage % plan.ep;
  return c;
}

std::vector<std::int64_t> balanced_layers_per_stage(const ModelSpec& model,
                                                    std::int64_t pp,
                                                    std::int64_t seq_len) {
  const StageWeights w = stage_weights(model, seq_len);
  const auto layers = static_cast<std::size_t>(model.num_layers),
             stages = static_cast<std::size_t>(pp);
  auto weight = [&](std::size_t i) { return model.layer_is_moe[i] ? w.moe : w.dense; };
  // Dynamic programme over (stage, layers placed): smallest possible largest stage; at least one
  // layer a stage.
  std::vector<std::vector<double>> best(stages + 1, std::vector<double>(layers + 1, 1e300));
  std::vector<std::vector<std::size_t>> from(stages + 1, std::vector<std::size_t>(layers + 1, 0));
  best[0][0] = 0;
  for (std::size_t st = 1; st <= stages; ++st)
    for (std::size_t end = st; end <= layers; ++end) {
      double sum = st == stages ? w.tail : 0;
      for (std::size_t begin = end; begin-- > st - 1;) {
        sum += weight(begin);
        const double candidate = std::max(best[st - 1][begin], sum);
        if (candidate < best[st][end]) {
          best[st][end] = candidate;
          from[st][end] = begin;
        }
      }
    }
  std::vector<std::int64_t> counts(stages);
  for (std::size_t st = stages, end = layers; st > 0; --st) {
    counts[st - 1] = static_cast<std::int64_t>(end - from[st][end]);
    end = from[st][end];
  }
  return counts;
}

namespace {

PlacementSpec read_expert_placement(const JsonNode& node,
                                    const ParallelPlan& plan,
                                    const ModelSpec& model,
                                    const ClusterSpec& cluster) {
  if (!model.moe) ObjectReader(node).fail("given, but " + one_line(model.name) + " has no experts");
  PlacementSpec spec = read_placement_spec(node,
                                           {model.moe->num_experts,
                                            model.moe->num_groups,
                                            plan.ep,
                                            std::min(plan.ep, cluster.gpus_per_node),
                                            {}});
  if (spec.redundant_experts > 0 && plan.schedule != ScheduleKind::overlapped_pair)
    ObjectReader(node).fail(
        "redundant_experts",
        "replicas of an expert need their gradients added up before the optimizer, which is not "
        "modelled; expected 0, or the schedule \"overlapped_pair\", which has no optimizer");
  return spec;
}

}  // namespace

ParallelPlan read_parallel_plan(const JsonNode& node,
                                const ModelSpec& model,
                                const ClusterSpec& cluster) {
  ObjectReader reader(node);
  ParallelPlan plan;
  constexpr std::int64_t kMost = 1 << 20;
  plan.tp = reader.integer("tp", 1, kMost);
  plan.cp = reader.integer("cp", 1, kMost);
  plan.pp = reader.integer("pp", 1, kMost);
  plan.dp = reader.integer("dp", 1, kMost);
  plan.ep = reader.integer("ep", 1, kMost);
  plan.schedule = read_schedule(reader, "schedule");
  plan.fallback_schedule =
      reader.has("fallback_schedule") ? read_schedule(reader, "fallback_schedule") : plan.schedule;
  plan.comm_sms = reader.integer("comm_sms", 0, 4096);
  plan.recipe =
      reader.choice("recipe", {"fp8_block", "bf16"}) == "bf16" ? Recipe::bf16 : Recipe::fp8_block;
  plan.moment_bytes = reader.choice("moments", {"bf16", "fp32"}) == "bf16" ? 2 : 4;
  const bool given = reader.has("layers_per_stage");
  if (given) plan.layers_per_stage = reader.integer_list("layers_per_stage", 0, model.num_layers);
  const JsonNode* placement = reader.optional("placement");
  reader.finish();  // an unknown key first: it may be why something else is missing
  check_plan(reader, plan, model, cluster);
  if (placement != nullptr)
    plan.placement = read_expert_placement(*placement, plan, model, cluster);
  if (given) {
    check_layers(reader, plan, model);
    plan.explain_layers = "given";
  } else {
    if (plan.schedule == ScheduleKind::overlapped_pair)
      reader.fail("missing key \"layers_per_stage\": how many layers the pair of chunks has");
    plan.layers_per_stage = balanced_layers_per_stage(model, plan.pp, 4096);
    plan.explain_layers = "balanced";
  }
  return plan;
}

std::int64_t local_experts(const ModelSpec& model, const ParallelPlan& plan) {
  return model.moe ? (model.moe->num_experts + plan.placement.redundant_experts) / plan.ep : 0;
}

ChunkShape chunk_shape(const ModelSpec& model, const ParallelPlan& plan, std::int64_t seq_len) {
  return {seq_len / plan.cp, seq_len, plan.cp, local_experts(model, plan), plan.recipe};
}

std::vector<std::vector<LayerKind>> stage_layers(const ParallelPlan& plan, const ModelSpec& model) {
  std::vector<std::vector<LayerKind>> stages;
  if (plan.schedule == ScheduleKind::overlapped_pair) {  // the model's last layers only, no ends
    const LayerKind kind = model.layer_is_moe.back() ? LayerKind::moe : LayerKind::dense;
    return {std::vector<LayerKind>(static_cast<std::size_t>(plan.layers_per_stage[0]), kind)};
  }
  std::size_t layer = 0;
  for (std::int64_t st = 0; st < plan.pp; ++st) {
    std::vector<LayerKind> kinds;
    if (st == 0) kinds.push_back(LayerKind::embedding);
    for (std::int64_t i = 0; i < plan.layers_per_stage[static_cast<std::size_t>(st)]; ++i, ++layer)
      kinds.push_back(model.layer_is_moe[layer] ? LayerKind::moe : LayerKind::dense);
    if (st == plan.pp - 1) {
      kinds.push_back(LayerKind::head);
      for (std::int64_t i = 0; i < model.num_mtp_modules; ++i) {
        kinds.push_back(LayerKind::mtp_projection);
        kinds.push_back(model.moe ? LayerKind::moe : LayerKind::dense);
        kinds.push_back(LayerKind::head);
      }
    }
    stages.push_back(std::move(kinds));
  }
  return stages;
}

}  // namespace moesim
