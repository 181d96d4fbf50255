// Megatron-LM and Megatron-Core training arguments as a plan.
//
// Megatron derives data parallelism: dp = world size / (tp x cp x pp). Experts have a grid of their
// own over the same GPUs: expert_tp x ep x replicas x pp, and expert_tp is tp unless it is given
// (megatron/training/arguments.py, Megatron-Core parallel_state). Ranks are numbered
// tp-cp-ep-dp-pp, the fastest first, or tp-cp-ep-pp-dp.
#include <algorithm>
#include <cmath>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "reports/import/launchers.hpp"
#include "reports/import/megatron_flags.hpp"
#include "reports/import/megatron_layers.hpp"

namespace moesim {
namespace {

constexpr const char* kTp = "--tensor-model-parallel-size";
constexpr const char* kEp = "--expert-model-parallel-size";
constexpr const char* kExpertTp = "--expert-tensor-parallel-size";
constexpr const char* kWorld = "--world-size";
constexpr const char* kDp = "--data-parallel-size";
constexpr const char* kPerNode = "--nproc-per-node";

// GPUs of the run, by whatever says it; nothing when only dp does.
std::optional<std::int64_t> world_size(LaunchArguments& arguments, const LaunchOptions& options) {
  std::optional<std::int64_t> world = arguments.integer(kWorld, 1, kMostGpus);
  if (world && options.world_size && *world != *options.world_size)
    arguments.fail(kWorld,
                   "is " + std::to_string(*world) + " among the arguments, " +
                       std::to_string(*options.world_size) + " as an option");
  if (!world) world = options.world_size;
  const auto nodes = arguments.integer("--nnodes", 1, kMostGpus);
  const auto per_node = arguments.integer(kPerNode, 1, kMostGpus);
  if (!nodes || !per_node) {
    if (nodes && !world)
      arguments.fail("--nnodes", "says a world size only beside --nproc-per-node");
    if (per_node && !world) {
      arguments.not_given("--nnodes", "1");
      world = *per_node;
    }
    return world;
  }
  if (world && *world != *nodes * *per_node)
    arguments.fail("--nnodes",
                   product_text({{"nodes", *nodes}, {"GPUs", *per_node}}) +
                       ", but the world size is " + std::to_string(*world));
  return *nodes * *per_node;
}

void read_degrees(LaunchArguments& arguments, const LaunchOptions& options, LaunchPlan& plan) {
  ParallelPlan& grid = plan.grid;
  grid.tp = arguments.degree(kTp);
  grid.cp = arguments.degree("--context-parallel-size");
  grid.pp = arguments.degree("--pipeline-model-parallel-size");
  grid.ep = arguments.degree(kEp);
  const std::int64_t replica = grid.tp * grid.cp * grid.pp;
  const std::string product = product_text({{"tp", grid.tp}, {"cp", grid.cp}, {"pp", grid.pp}});
  const std::optional<std::int64_t> world = world_size(arguments, options);
  const std::optional<std::int64_t> dp = arguments.integer(kDp, 1, kMostGpus);
  if (!world && !dp)
    throw InputError(kWorld,
                     "nothing says how many GPUs there are; expected --world-size N, --nnodes and "
                     "--nproc-per-node, or --data-parallel-size N");
  if (world && *world % replica != 0)
    throw InputError(
        "world size",
        std::to_string(*world) + " is not a whole number of model replicas: " + product);
  grid.dp = world ? *world / replica : *dp;
  if (dp && *dp != grid.dp)
    arguments.fail(kDp,
                   "is " + std::to_string(*dp) + ", but the world of " + std::to_string(*world) +
                       " / (" + product + ") is " + std::to_string(grid.dp));
  plan.arithmetic.push_back("dp = world size " + std::to_string(grid.world()) + " / (" + product +
                            ") = " + std::to_string(grid.dp));
  const auto num_experts = arguments.integer("--num-experts", 1);
  plan.has_experts =
      num_experts.has_value() || grid.ep > 1 || (options.model && options.model->moe);
  if (plan.has_experts) {
    if (const auto expert_tp = arguments.integer(kExpertTp, 1, kMostDegree)) {
      grid.expert_tp = *expert_tp;
    } else {
      grid.expert_tp = grid.tp;
      arguments.not_given(kExpertTp,
                          "that of " + std::string(kTp) + ", which is " + std::to_string(grid.tp));
    }
    if (num_experts && *num_experts % grid.ep != 0)
      arguments.fail(kEp,
                     std::to_string(grid.ep) + " does not divide the " +
                         std::to_string(*num_experts) + " experts");
  } else {
    arguments.not_given("--num-experts", "none: a dense model");
  }
  set_gpus_per_node(plan, arguments, options, kPerNode);
  check_grids(plan, arguments, kEp);
}

void read_order(LaunchArguments& arguments, LaunchPlan& plan) {
  constexpr const char* kFlag = "--use-tp-pp-dp-mapping";
  ParallelPlan& grid = plan.grid;
  if (!arguments.on(kFlag)) return;
  grid.rank_order = {Axis::tp, Axis::cp, Axis::pp, Axis::dp};
  // Both grids have to put a GPU into the same stage.
  if (plan.has_experts && grid.pp > 1 && grid.ranks_per_ep_group() != grid.tp * grid.cp)
    arguments.fail(kFlag,
                   "needs as many replicas of an expert as of a dense layer, that is " +
                       product_text({{"expert_tp", grid.expert_tp}, {"ep", grid.ep}}) +
                       " equal to " + product_text({{"tp", grid.tp}, {"cp", grid.cp}}));
  plan.settings.set("rank_order", "tp-cp-pp-dp");
}

void read_context_method(LaunchArguments& arguments, LaunchPlan& plan) {
  constexpr const char* kFlag = "--cp-comm-type";
  if (plan.grid.cp == 1) return;
  const std::vector<std::string> methods = arguments.words_or(kFlag, "p2p");
  for (const std::string& method : methods)
    if (method != methods.front())
      arguments.fail(kFlag,
                     "differs from layer to layer, which a plan cannot say; found " +
                         in_quotes(method) + " after " + in_quotes(methods.front()));
  const std::string& method = methods.front();
  if (method == "p2p")
    plan.settings.set("cp_method", "ring");
  else if (method == "all_gather" || method == "allgather")
    plan.settings.set("cp_method", "all_gather");
  else if (method == "a2a")
    plan.settings.set("cp_method", "ulysses");
  else
    arguments.fail(kFlag, "expected p2p, all_gather or a2a; found " + in_quotes(method));
}

void read_sequence_parallel(LaunchArguments& arguments, LaunchPlan& plan) {
  constexpr const char* kFlag = "--sequence-parallel";
  const bool on = arguments.on(kFlag);
  if (plan.grid.tp == 1) {
    if (on) plan.warnings.push_back("--sequence-parallel does nothing at tp 1.");
    return;
  }
  if (!on && plan.has_experts)
    arguments.fail(kFlag,
                   "is not given, but Megatron needs it beside " + std::string(kTp) + " " +
                       std::to_string(plan.grid.tp) + " and experts");
  plan.settings.set("sequence_parallel", on);
}

void read_batch(LaunchArguments& arguments, LaunchPlan& plan) {
  constexpr const char* kMicro = "--micro-batch-size";
  constexpr const char* kGlobal = "--global-batch-size";
  const auto micro = arguments.integer(kMicro, 1);
  if (!micro) throw InputError(kMicro, "is not given, and Megatron has no default for it");
  const std::int64_t dp = plan.grid.dp;
  plan.seq_len = arguments.integer("--seq-length", 1);
  plan.batch = arguments.integer(kGlobal, 1);
  if (!plan.batch) {
    plan.batch = *micro * dp;
    arguments.not_given(
        kGlobal,
        "one microbatch on each replica, " + product_text({{"microbatch", *micro}, {"dp", dp}}));
  }
  const std::string divisor = product_text({{"dp", dp}, {"microbatch", *micro}});
  if (*plan.batch % (dp * *micro) != 0)
    arguments.fail(kGlobal,
                   std::to_string(*plan.batch) + " sequences / (" + divisor +
                       ") is not a whole number of microbatches");
  plan.arithmetic.push_back("microbatches of a pipeline = batch " + std::to_string(*plan.batch) +
                            " / (" + divisor +
                            ") = " + std::to_string(*plan.batch / (dp * *micro)));
  if (plan.seq_len && *plan.seq_len % plan.grid.cp != 0)
    arguments.fail("--seq-length",
                   std::to_string(*plan.seq_len) + " tokens are not divided by cp " +
                       std::to_string(plan.grid.cp));
  plan.settings.set("microbatch", *micro);
}

void read_pipeline(LaunchArguments& arguments, const LaunchOptions& options, LaunchPlan& plan) {
  std::optional<std::int64_t> num_layers = arguments.integer("--num-layers", 1, kMostLayers);
  if (!num_layers && options.model) num_layers = options.model->num_layers;
  const MegatronLayers layers = megatron_layers(arguments, plan.grid.pp, num_layers, plan);
  plan.settings.set("schedule", layers.virtual_stages > 1 ? "interleaved_1f1b" : "1f1b");
  if (layers.virtual_stages > 1) plan.settings.set("virtual_stages", layers.virtual_stages);
  if (!layers.per_stage.empty()) {
    JsonValue list = JsonValue::array();
    for (const std::int64_t count : layers.per_stage) list.push(count);
    plan.settings.set("layers_per_stage", std::move(list));
  }
  if (plan.grid.ep > 1 && arguments.on("--overlap-moe-expert-parallel-comm"))
    plan.settings.set("overlap_expert_comm", true);
  // SMs of dispatch and combine (Megatron-Core, moe_deepep_num_sms).
  plan.settings.set(
      "comm_sms",
      plan.grid.ep > 1 ? arguments.integer_or("--moe-deepep-num-sms", 1, kMostDegree, 20) : 0);
}

std::string recipe(LaunchArguments& arguments) {
  constexpr const char* kFormat = "--fp8-format";
  if (arguments.has("--fp16"))
    arguments.fail("--fp16", "is not a precision that a plan has; expected --bf16");
  if (!arguments.has("--bf16"))
    throw InputError("--bf16",
                     "is not given, so Megatron would train in FP32, which a plan cannot "
                     "say");
  if (!arguments.has(kFormat)) {
    arguments.not_given(kFormat, "none: BF16");
    return "bf16";
  }
  static_cast<void>(arguments.choice_or(kFormat, {"hybrid", "e4m3"}, "hybrid"));
  const std::string name = arguments.choice_or(
      "--fp8-recipe", {"delayed", "tensorwise", "blockwise", "mxfp8"}, "delayed");
  return name == "blockwise" ? "fp8_block" : name == "mxfp8" ? "mxfp8" : "fp8_tensor";
}

JsonValue recompute(LaunchArguments& arguments) {
  constexpr const char* kGranularity = "--recompute-granularity";
  constexpr const char* kModules = "--recompute-modules";
  if (!arguments.has(kGranularity)) {
    if (arguments.has(kModules))
      arguments.fail(kModules, std::string("is given without ") + kGranularity + " selective");
    arguments.not_given(kGranularity, "none: nothing is recomputed");
    return "none";
  }
  if (arguments.choice_or(kGranularity, {"full", "selective"}, "full") == "full") return "full";
  constexpr std::pair<const char*, const char*> kParts[] = {{"core_attn", "core_attention"},
                                                            {"layernorm", "norm"},
                                                            {"mla_up_proj", "latent_up_projection"},
                                                            {"moe_act", "swiglu"}};
  const std::vector<std::string> modules = arguments.words_or(kModules, "core_attn");
  JsonValue parts = JsonValue::array();
  std::vector<std::string> known;
  for (const auto& [module, part] : kParts) {
    known.emplace_back(module);
    if (std::find(modules.begin(), modules.end(), module) != modules.end()) parts.push(part);
  }
  for (const std::string& module : modules)
    if (std::find(known.begin(), known.end(), module) == known.end())
      arguments.fail(kModules,
                     "a plan cannot recompute " + in_quotes(module) + "; it can " + joined(known));
  return parts;
}

// ZeRO stage.
int sharding(LaunchArguments& arguments) {
  constexpr const char* kStrategy = "--data-parallel-sharding-strategy";
  if (arguments.has("--use-torch-fsdp2")) return 3;
  if (arguments.has("--use-megatron-fsdp")) {
    const std::vector<std::string> stages = {
        "no_shard", "optim", "optim_grads", "optim_grads_params"};
    const std::string stage = arguments.choice_or(kStrategy, stages, "no_shard");
    return static_cast<int>(std::find(stages.begin(), stages.end(), stage) - stages.begin());
  }
  return arguments.on("--use-distributed-optimizer") ? 1 : 0;
}

bool is_bf16(LaunchArguments& arguments, const char* flag) {
  if (arguments.has(flag) && !arguments.has("--use-precision-aware-optimizer"))
    arguments.fail(flag, "is given without --use-precision-aware-optimizer, which Megatron needs");
  return arguments.choice_or(flag, {"fp32", "bf16"}, "fp32") == "bf16";
}

void read_optimizer(LaunchArguments& arguments, LaunchPlan& plan) {
  constexpr const char* kReduce = "--overlap-grad-reduce";
  constexpr const char* kGather = "--overlap-param-gather";
  const int zero_stage = sharding(arguments);
  plan.settings.set("zero_stage", zero_stage);
  const bool bf16_main = is_bf16(arguments, "--main-grads-dtype");
  const bool bf16_gradients = arguments.has("--grad-reduce-in-bf16") || bf16_main;
  if (arguments.has("--accumulate-allreduce-grads-in-fp32") && bf16_gradients)
    arguments.fail("--accumulate-allreduce-grads-in-fp32", "is given beside gradients in BF16");
  if (arguments.on(kReduce)) {
    plan.settings.set("overlap_grad_reduce", true);
    // Elements; the default is in Megatron-Core's DistributedDataParallel.
    const std::int64_t replicas = plan.grid.dp * plan.grid.cp;
    const std::int64_t elements =
        arguments.integer_or("--ddp-bucket-size",
                             1,
                             kMostNumber,
                             std::max<std::int64_t>(40'000'000, 1'000'000 * replicas));
    const double megabytes = static_cast<double>(elements) * (bf16_gradients ? 2 : 4) / 1e6;
    plan.settings.set("gradient_bucket", number_text(megabytes) + " MB");
  }
  if (arguments.on(kGather)) {
    if (zero_stage == 0)
      arguments.fail(kGather, "is given without --use-distributed-optimizer, which it needs");
    if (!arguments.has(kReduce))
      arguments.fail(kGather, std::string("is given without ") + kReduce + ", which it needs");
    plan.settings.set("overlap_param_gather", true);
  }
  plan.settings.set("gradients", bf16_gradients ? "bf16" : "fp32");
  const bool first = is_bf16(arguments, "--exp-avg-dtype");
  if (first != is_bf16(arguments, "--exp-avg-sq-dtype"))
    arguments.fail("--exp-avg-sq-dtype",
                   "differs from --exp-avg-dtype; a plan has one precision for both moments");
  plan.settings.set("moments", first ? "bf16" : "fp32");
}

LaunchPlan read_megatron(LaunchArguments& arguments, const LaunchOptions& options) {
  LaunchPlan plan;
  read_degrees(arguments, options, plan);
  for (const auto& [key, degree] : {std::pair{"tp", plan.grid.tp},
                                    {"cp", plan.grid.cp},
                                    {"pp", plan.grid.pp},
                                    {"dp", plan.grid.dp},
                                    {"ep", plan.grid.ep}})
    plan.settings.set(key, degree);
  if (plan.has_experts) plan.settings.set("expert_tp", plan.grid.expert_tp);
  read_order(arguments, plan);
  read_context_method(arguments, plan);
  read_sequence_parallel(arguments, plan);
  read_batch(arguments, plan);
  read_pipeline(arguments, options, plan);
  plan.settings.set("recipe", recipe(arguments));
  plan.settings.set("recompute", recompute(arguments));
  read_optimizer(arguments, plan);
  return plan;
}

}  // namespace

const Launcher kMegatron = {
    "megatron", "Megatron", megatron_flags(), megatron_ignored_flags(), read_megatron};

}  // namespace moesim
