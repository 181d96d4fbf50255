// A plan's keys, and every check that its numbers fit together.
#include <algorithm>
#include <numeric>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/parallel_plan.hpp"
#include "model/rank_grid.hpp"

namespace moesim {
namespace {

// One of `names`, which are in the order of the enumerators.
template <class Enum, std::size_t N>
Enum read_named(ObjectReader& reader,
                const std::string& key,
                const std::array<const char*, N>& names) {
  const std::string name = reader.choice(key, {names.begin(), names.end()});
  return static_cast<Enum>(std::find(names.begin(), names.end(), name) - names.begin());
}

ScheduleKind read_schedule(ObjectReader& reader, const std::string& key) {
  std::vector<std::string> names;
  for (const ScheduleTraits& row : all_schedules()) names.emplace_back(row.name);
  const std::string name = reader.choice(key, names);
  for (const ScheduleTraits& row : all_schedules())
    if (name == row.name) return row.kind;
  throw std::logic_error("choice and table disagree");
}

std::string product(const ParallelPlan& p) {
  return "tp " + std::to_string(p.tp) + " x cp " + std::to_string(p.cp) + " x pp " +
         std::to_string(p.pp) + " x dp " + std::to_string(p.dp) + " = " + std::to_string(p.world());
}

// The dense grid's axes, fastest first, as in "tp-cp-dp-pp".
std::array<Axis, 4> read_rank_order(ObjectReader& reader) {
  constexpr std::array<const char*, 4> kNames = {"tp", "cp", "dp", "pp"};
  const std::string text = reader.text("rank_order");
  std::array<std::size_t, 4> axes = {0, 1, 2, 3};
  do {
    std::string name;
    for (const std::size_t axis : axes)
      name += (name.empty() ? "" : "-") + std::string(kNames[axis]);
    if (name != text) continue;
    std::array<Axis, 4> order{};
    for (std::size_t i = 0; i < 4; ++i) order[i] = static_cast<Axis>(axes[i]);
    return order;
  } while (std::next_permutation(axes.begin(), axes.end()));
  reader.fail(
      "rank_order",
      "expected tp, cp, dp and pp, each once, the fastest first, as in \"tp-cp-dp-pp\"; found " +
          in_quotes(text));
}

// What the backward pass computes again. A list names parts of a layer.
Recompute read_recompute(const JsonNode& node, ObjectReader& reader) {
  Recompute all_off{false, false, false, false, false};
  if (node.kind == JsonNode::Kind::string) {
    if (node.text == "none") return all_off;
    if (node.text == "full") {
      all_off.whole_layer = true;
      return all_off;
    }
  }
  if (node.kind != JsonNode::Kind::array)
    reader.fail("recompute",
                "expected \"none\", \"full\" or a list of parts, found " + node.describe());
  Recompute chosen = all_off;
  for (const std::string& part : reader.text_list("recompute")) {
    if (part == "norm")
      chosen.norm = true;
    else if (part == "latent_up_projection")
      chosen.latent_up_projection = true;
    else if (part == "swiglu")
      chosen.swiglu = true;
    else if (part == "core_attention")
      chosen.core_attention = true;
    else
      reader.fail("recompute",
                  "expected parts among \"norm\", \"latent_up_projection\", \"swiglu\", "
                  "\"core_attention\"; found " +
                      in_quotes(part));
  }
  return chosen;
}

// Degrees that only matter beside others.
void check_grids(const ObjectReader& reader,
                 const ParallelPlan& plan,
                 const ModelSpec& model,
                 const ClusterSpec& cluster) {
  if (model.num_heads % plan.tp != 0)
    reader.fail("tp",
                std::to_string(plan.tp) + " does not divide the " +
                    std::to_string(model.num_heads) + " attention heads of " +
                    one_line(model.name));
  auto check_width = [&](std::int64_t width, const char* what) {
    if (width % plan.tp != 0)
      reader.fail("tp",
                  std::to_string(plan.tp) + " does not divide " + what + " of " +
                      std::to_string(width) + " of " + one_line(model.name));
  };
  if (model.num_kv_heads % plan.tp != 0 && plan.tp % model.num_kv_heads != 0)
    reader.fail("tp",
                std::to_string(plan.tp) + " ranks and the " + std::to_string(model.num_kv_heads) +
                    " key-value heads of " + one_line(model.name) + ": neither divides the other");
  if (!model.moe || model.num_moe_layers() < model.num_layers)
    check_width(model.dense_intermediate, "the feed-forward width");
  if (model.moe) check_width(model.moe->shared_intermediate, "the shared experts' width");
  if (model.num_mtp_modules > 0) check_width(model.hidden, "the hidden width");
  if (model.moe && plan.tp > 1 && !plan.sequence_parallel)
    reader.fail("sequence_parallel",
                "is off beside tp " + std::to_string(plan.tp) +
                    " and experts: each tensor-parallel rank would dispatch the same tokens; "
                    "expected true");
  if (plan.cp_method == ContextMethod::ulysses && model.num_heads / plan.tp % plan.cp != 0)
    reader.fail("cp",
                std::to_string(plan.cp) + " does not divide the " +
                    std::to_string(model.num_heads) + " / tp " + std::to_string(plan.tp) + " = " +
                    std::to_string(model.num_heads / plan.tp) +
                    " attention heads of a rank, which \"ulysses\" spreads");
  if (model.moe && model.moe->expert_intermediate % plan.expert_tp != 0)
    reader.fail("expert_tp",
                std::to_string(plan.expert_tp) + " does not divide an expert's width of " +
                    std::to_string(model.moe->expert_intermediate));
  if (!model.moe && plan.expert_tp != 1)
    reader.fail("expert_tp",
                "is " + std::to_string(plan.expert_tp) + ", but " + one_line(model.name) +
                    " has no experts; expected 1");
  // Node-limited routing and the two hops of a dispatch count on neighbours sharing a node.
  const std::int64_t per_node = std::min(plan.ranks_per_ep_group(), cluster.gpus_per_node);
  for (std::int64_t r = 0; r < plan.ranks_per_ep_group(); ++r)
    if (gpu_of(plan, r) / cluster.gpus_per_node !=
        gpu_of(plan, r - r % per_node) / cluster.gpus_per_node)
      reader.fail("rank_order",
                  "scatters an expert-parallel group: its ranks " +
                      std::to_string(r - r % per_node) + " and " + std::to_string(r) +
                      " are on GPUs " + std::to_string(gpu_of(plan, r - r % per_node)) + " and " +
                      std::to_string(gpu_of(plan, r)) + " of different nodes; expected " +
                      std::to_string(per_node) + " neighbours on each node");
}

// What is sharded over replicas, and what of its traffic travels beside compute.
void check_sharding(const ObjectReader& reader, const ParallelPlan& plan) {
  if (plan.overlap_param_gather && plan.zero_stage == 0)
    reader.fail("overlap_param_gather",
                "is true, but zero_stage 0 keeps all weights on every rank and gathers none; "
                "expected false, or zero_stage 1, 2 or 3");
  if (plan.gradient_bucket < 1 * MB)
    reader.fail("gradient_bucket",
                "expected at least 1 MB, found " + number_text(plan.gradient_bucket.in(B)) + " B");
  if (plan.schedule != ScheduleKind::overlapped_pair) return;
  // A pair of chunks ends before its gradients do: there is nothing to reduce or gather.
  auto expect = [&](const char* key, bool wrong, const char* expected) {
    if (wrong)
      reader.fail(key,
                  std::string("an overlapped pair has no optimizer and moves neither gradients nor "
                              "weights; expected ") +
                      expected);
  };
  expect("zero_stage", plan.zero_stage > 1, "0 or 1");
  expect("overlap_grad_reduce", plan.overlap_grad_reduce, "false");
  expect("overlap_param_gather", plan.overlap_param_gather, "false");
}

std::optional<Overheads> read_overheads(ObjectReader& plan) {
  const JsonNode* node = plan.optional("overheads");
  if (node == nullptr) return std::nullopt;
  ObjectReader reader(*node);
  Overheads overheads;  // a key that is left out is not counted
  if (reader.has("cuda_context")) overheads.cuda_context = reader.bytes("cuda_context");
  if (reader.has("nccl_buffers")) overheads.nccl_buffers = reader.bytes("nccl_buffers");
  overheads.fragmentation = reader.number_or("fragmentation", 0, 1, 0);
  reader.finish();
  return overheads;
}

// Pairs of a forward and a backward chunk: which schedules have them, and who is asked for them.
void check_overlap(const ObjectReader& reader, const ParallelPlan& plan) {
  for (const ScheduleKind kind : {plan.schedule, plan.fallback_schedule}) {
    const ScheduleTraits& traits = traits_of(kind);
    const std::string schedule = "schedule \"" + std::string(traits.name) + "\"";
    if (plan.overlap_expert_comm && traits.overlap == Overlap::by_itself)
      reader.fail("overlap_expert_comm", schedule + " overlaps by itself; expected false");
    if (plan.overlap_expert_comm && traits.overlap == Overlap::never)
      reader.fail("overlap_expert_comm",
                  schedule +
                      " has no steady pairs of a forward and a backward step; expected "
                      "false, or the schedule \"1f1b\" or \"interleaved_1f1b\"");
  }
  if (reader.has("overlap_order") && !plan.overlaps())
    reader.fail("overlap_order",
                "is given, but schedule \"" + std::string(schedule_name(plan.schedule)) +
                    "\" overlaps nothing here; expected the key left out");
}

void check_plan(const ObjectReader& reader,
                const ParallelPlan& plan,
                const ModelSpec& model,
                const ClusterSpec& cluster) {
  if (plan.world() != cluster.num_gpus())
    reader.fail(product(plan) + " ranks, but the cluster has " + std::to_string(cluster.num_nodes) +
                " nodes x " + std::to_string(cluster.gpus_per_node) +
                " GPUs = " + std::to_string(cluster.num_gpus()));
  const std::int64_t group = plan.ranks_per_ep_group();
  const std::string experts_over =
      plan.expert_tp == 1 ? std::to_string(plan.ep)
                          : "ep " + std::to_string(plan.ep) + " x expert_tp " +
                                std::to_string(plan.expert_tp) + " = " + std::to_string(group);
  if (plan.ranks_per_stage() % group != 0)
    reader.fail("ep",
                experts_over + " does not divide the tp x cp x dp = " +
                    std::to_string(plan.ranks_per_stage()) + " ranks of a stage");
  if (model.moe && !reader.has("placement") && model.moe->num_experts % plan.ep != 0)
    reader.fail("ep",
                std::to_string(plan.ep) + " does not divide the " +
                    std::to_string(model.moe->num_experts) + " experts of " + one_line(model.name));
  if (!model.moe && plan.ep != 1)
    reader.fail("ep",
                "is " + std::to_string(plan.ep) + ", but " + one_line(model.name) +
                    " has no experts; expected 1");
  if (group > cluster.gpus_per_node && group % cluster.gpus_per_node != 0)
    reader.fail("ep",
                experts_over + " is more than one node of " +
                    std::to_string(cluster.gpus_per_node) + " GPUs but not whole nodes");
  if (group < cluster.gpus_per_node && cluster.gpus_per_node % group != 0 && cluster.num_nodes > 1)
    reader.fail("ep",
                experts_over + " does not divide a node of " +
                    std::to_string(cluster.gpus_per_node) +
                    " GPUs: a group would lie across two nodes");
  const PipelineLayout layout = plan.layout();
  if (layout.num_stages() > model.num_layers)
    reader.fail("pp",
                (layout.num_stages() == plan.pp
                     ? std::to_string(plan.pp)
                     : std::to_string(plan.pp) + " ranks x " + std::to_string(layout.num_parts) +
                           " parts = " + std::to_string(layout.num_stages())) +
                    " stages for the " + std::to_string(model.num_layers) + " layers of " +
                    one_line(model.name));
  const bool interleaved = plan.schedule == ScheduleKind::interleaved_1f1b;
  if (interleaved != (plan.virtual_stages > 1))
    reader.fail("virtual_stages",
                "is " + std::to_string(plan.virtual_stages) + ", but schedule \"" +
                    schedule_name(plan.schedule) +
                    (interleaved ? "\" needs at least 2" : "\" has none; expected 1"));
  if ((plan.schedule == ScheduleKind::dualpipe ||
       plan.fallback_schedule == ScheduleKind::dualpipe) &&
      plan.pp % 2 != 0)
    reader.fail("pp", "DualPipe needs an even number of stages, found " + std::to_string(plan.pp));
  if (plan.schedule == ScheduleKind::overlapped_pair && plan.pp != 1)
    reader.fail("pp",
                "an overlapped pair is one stage; expected 1, found " + std::to_string(plan.pp));
  if (plan.fallback_schedule == ScheduleKind::overlapped_pair &&
      plan.schedule != ScheduleKind::overlapped_pair)
    reader.fail("fallback_schedule",
                "an overlapped pair cannot stand in for a pipeline; expected \"1f1b\"");
  const ScheduleTraits& fallback = traits_of(plan.fallback_schedule);
  if (pipeline_layout(fallback.kind, plan.pp, plan.virtual_stages).num_stages() !=
      layout.num_stages())
    reader.fail("fallback_schedule",
                std::string("\"") + fallback.name +
                    "\" cuts the model into another number of stages than \"" +
                    schedule_name(plan.schedule) + "\": " +
                    std::to_string(
                        pipeline_layout(fallback.kind, plan.pp, plan.virtual_stages).num_stages()) +
                    ", expected " + std::to_string(layout.num_stages()));
  if (plan.comm_sms == 0 && plan.ep > 1 && plan.overlaps())
    reader.fail("comm_sms",
                "is 0, but this schedule runs dispatch and combine beside compute kernels and they "
                "need SMs of their own; expected at least 1");
  if (plan.comm_sms >= cluster.gpu.num_sms)
    reader.fail("comm_sms",
                std::to_string(plan.comm_sms) + " leaves no SM of " +
                    std::to_string(cluster.gpu.num_sms) + " for compute");
  if (is_fp8(plan.recipe) && !cluster.gpu.peak_fp8)
    reader.fail("recipe",
                "\"" + std::string(recipe_name(plan.recipe)) + "\", but the " +
                    one_line(cluster.gpu.name) + " has no FP8 tensor cores; expected \"bf16\"");
  // Block scales of 32 are applied by the tensor cores of Blackwell (PTX ISA, tcgen05.mma) and
  // later.
  constexpr std::array<const char*, 5> kWithoutMx = {"volta", "turing", "ampere", "ada", "hopper"};
  if (plan.recipe == Recipe::mxfp8 &&
      std::find(kWithoutMx.begin(), kWithoutMx.end(), cluster.gpu.architecture) != kWithoutMx.end())
    reader.fail("recipe",
                "\"mxfp8\", but the tensor cores of the " + one_line(cluster.gpu.name) + " (" +
                    one_line(cluster.gpu.architecture) +
                    ") do not apply its scales; expected \"fp8_block\", \"fp8_tensor\" or "
                    "\"bf16\"");
}

void check_layers(const ObjectReader& reader, const ParallelPlan& plan, const ModelSpec& model) {
  const std::vector<std::int64_t>& layers = plan.layers_per_stage;
  const std::int64_t sum = std::accumulate(layers.begin(), layers.end(), std::int64_t{0});
  const std::int64_t num_stages = plan.layout().num_stages();
  if (static_cast<std::int64_t>(layers.size()) != num_stages)
    reader.fail("layers_per_stage",
                "has " + std::to_string(layers.size()) +
                    (layers.size() == 1 ? " entry" : " entries") + " for " +
                    (num_stages == plan.pp ? "pp " + std::to_string(plan.pp)
                                           : std::to_string(num_stages) + " stages"));
  if (plan.schedule == ScheduleKind::overlapped_pair && sum == 0)
    reader.fail("layers_per_stage", "an overlapped pair needs at least one layer, found 0");
  if (plan.schedule != ScheduleKind::overlapped_pair && sum != model.num_layers)
    reader.fail("layers_per_stage",
                "adds up to " + std::to_string(sum) + ", but " + one_line(model.name) + " has " +
                    std::to_string(model.num_layers) + " layers");
}

PlacementSpec read_expert_placement(const JsonNode& node,
                                    const ParallelPlan& plan,
                                    const ModelSpec& model,
                                    const ClusterSpec& cluster) {
  if (!model.moe) ObjectReader(node).fail("given, but " + one_line(model.name) + " has no experts");
  PlacementSpec spec = read_placement_spec(node,
                                           {model.moe->num_experts,
                                            model.moe->num_groups,
                                            plan.ep,
                                            ep_ranks_per_node(plan, cluster),
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
  plan.recipe = read_named<Recipe>(reader, "recipe", kRecipeNames);
  plan.moment_bytes = reader.choice("moments", {"bf16", "fp32"}) == "bf16" ? 2 : 4;
  // The rest may be left out: the model's parts are then not cut, nothing more is overlapped, and
  // sharding, gradients and recomputation are DeepSeek-V3's.
  if (reader.has("expert_tp")) plan.expert_tp = reader.integer("expert_tp", 1, kMost);
  plan.sequence_parallel = reader.boolean_or("sequence_parallel", false);
  if (reader.has("cp_method"))
    plan.cp_method = read_named<ContextMethod>(reader, "cp_method", kContextMethodNames);
  if (reader.has("rank_order")) plan.rank_order = read_rank_order(reader);
  if (reader.has("virtual_stages")) plan.virtual_stages = reader.integer("virtual_stages", 1, 1024);
  plan.overlap_expert_comm = reader.boolean_or("overlap_expert_comm", false);
  if (reader.has("overlap_order")) plan.overlap_order = read_overlap_order(reader, "overlap_order");
  if (reader.has("microbatch")) plan.microbatch = reader.integer("microbatch", 1, kMost);
  if (const JsonNode* recompute = reader.optional("recompute"))
    plan.recompute = read_recompute(*recompute, reader);
  if (reader.has("zero_stage")) plan.zero_stage = reader.integer("zero_stage", 0, 3);
  plan.overlap_grad_reduce = reader.boolean_or("overlap_grad_reduce", false);
  plan.overlap_param_gather = reader.boolean_or("overlap_param_gather", false);
  if (reader.has("gradient_bucket")) plan.gradient_bucket = reader.bytes("gradient_bucket");
  if (reader.has("gradients"))
    plan.gradient_bytes = reader.choice("gradients", {"bf16", "fp32"}) == "bf16" ? 2 : 4;
  plan.overheads = read_overheads(reader);
  const bool given = reader.has("layers_per_stage");
  if (given) plan.layers_per_stage = reader.integer_list("layers_per_stage", 0, model.num_layers);
  const JsonNode* placement = reader.optional("placement");
  reader.finish();  // an unknown key first: it may be why something else is missing
  check_plan(reader, plan, model, cluster);
  check_grids(reader, plan, model, cluster);
  check_overlap(reader, plan);
  check_sharding(reader, plan);
  if (placement != nullptr)
    plan.placement = read_expert_placement(*placement, plan, model, cluster);
  if (given) {
    check_layers(reader, plan, model);
    plan.explain_layers = "given";
  } else {
    if (plan.schedule == ScheduleKind::overlapped_pair)
      reader.fail("missing key \"layers_per_stage\": how many layers the pair of chunks has");
    plan.layers_per_stage = balanced_layers_per_stage(model, plan.layout().num_stages(), 4096);
    plan.explain_layers = "balanced";
  }
  return plan;
}

}  // namespace moesim
