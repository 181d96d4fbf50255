#include "model/json_message.hpp"
#include "model/serving/read_pool.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kMostRanks = 1 << 20;

std::string text(std::int64_t count) { return std::to_string(count); }

void check_degrees(const ObjectReader& reader,
                   const UnitPlan& plan,
                   const ModelSpec& model,
                   const ClusterSpec& cluster) {
  const std::int64_t gpus = plan.num_gpus();
  const std::string product = "tp " + text(plan.tp) + " x dp " + text(plan.dp) + " = " + text(gpus);
  if (plan.ep != 1 && !model.moe)
    reader.fail(
        "ep",
        "is " + text(plan.ep) + ", but " + one_line(model.name) + " has no experts; expected 1");
  if (plan.ep != 1 && plan.ep != gpus)
    reader.fail("ep",
                "is " + text(plan.ep) + "; expected " + product +
                    " (experts over all GPUs of the unit) or 1 (every attention rank holds all)");
  if (gpus > cluster.gpus_per_node && gpus % cluster.gpus_per_node != 0)
    reader.fail(product + " GPUs are more than one node of " + text(cluster.gpus_per_node) +
                " but not whole nodes");
}

// What is cut over the tensor-parallel ranks.
void check_widths(const ObjectReader& reader, const UnitPlan& plan, const ModelSpec& model) {
  const std::string name = one_line(model.name);
  if (model.num_heads % plan.tp != 0)
    reader.fail("tp",
                text(plan.tp) + " does not divide the " + text(model.num_heads) +
                    " attention heads of " + name);
  if (!model.latent && model.num_kv_heads % plan.tp != 0 && plan.tp % model.num_kv_heads != 0)
    reader.fail("tp",
                text(plan.tp) + " ranks and the " + text(model.num_kv_heads) +
                    " key-value heads of " + name + ": neither divides the other");
  auto check = [&](std::int64_t width, const char* what) {
    if (width % plan.tp != 0)
      reader.fail(
          "tp", text(plan.tp) + " does not divide " + what + " of " + text(width) + " of " + name);
  };
  if (!model.moe || model.num_moe_layers() < model.num_layers)
    check(model.dense_intermediate, "the feed-forward width");
  if (!model.moe) return;
  check(model.moe->shared_intermediate, "the shared experts' width");
  if (plan.ep == 1) check(model.moe->expert_intermediate, "an expert's width");
}

void check_gpu(const ObjectReader& reader,
               const UnitPlan& plan,
               PoolRole role,
               const ClusterSpec& cluster) {
  if (plan.comm_sms >= cluster.gpu.num_sms)
    reader.fail(
        "comm_sms",
        text(plan.comm_sms) + " leaves no SM of " + text(cluster.gpu.num_sms) + " for compute");
  const bool prefills_normally =
                 role != PoolRole::decode && plan.prefill_exchange == Exchange::normal,
             decodes_normally =
                 role != PoolRole::prefill && plan.decode_exchange == Exchange::normal;
  if (plan.ep > 1 && plan.comm_sms == 0 && (prefills_normally || decodes_normally))
    reader.fail("comm_sms",
                std::string("is 0, but the \"normal\" exchange of ") +
                    (prefills_normally ? "prefill" : "decode") +
                    " runs on SMs of its own; expected at least 1");
  if (plan.two_batch_overlap && plan.ep == 1)
    reader.fail("two_batch_overlap",
                "is true, but with ep 1 there is no expert exchange to hide; expected false");
  if (is_fp8(plan.recipe) && !cluster.gpu.peak_fp8)
    reader.fail("recipe",
                in_quotes(recipe_name(plan.recipe)) + ", but the " + one_line(cluster.gpu.name) +
                    " has no FP8 tensor cores; expected \"bf16\"");
}

PlacementSpec read_unit_placement(const JsonNode& node,
                                  const UnitPlan& plan,
                                  const ModelSpec& model,
                                  const ClusterSpec& cluster) {
  if (!model.moe) ObjectReader(node).fail("given, but " + one_line(model.name) + " has no experts");
  if (plan.ep == 1)
    ObjectReader(node).fail("given, but with ep 1 every attention rank holds all experts");
  return read_placement_spec(node,
                             {model.moe->num_experts,
                              model.moe->num_groups,
                              plan.ep,
                              std::min(plan.ep, cluster.gpus_per_node),
                              {}});
}

}  // namespace

double bytes_per_weight(WeightPrecision precision) {
  switch (precision) {
    case WeightPrecision::bf16: return 2;
    case WeightPrecision::fp8: return 1 + 4.0 / (128 * 128);
    case WeightPrecision::int8: return 1;
    case WeightPrecision::fp4: return 0.5 + 1.0 / 16;
  }
  throw std::logic_error("weight precision missing from the table");
}

UnitPlan read_unit_plan(const JsonNode& node,
                        PoolRole role,
                        const ModelSpec& model,
                        const ClusterSpec& cluster) {
  ObjectReader reader(node);
  UnitPlan plan;
  plan.tp = reader.integer("tp", 1, kMostRanks);
  plan.dp = reader.integer("dp", 1, kMostRanks);
  plan.ep = reader.integer("ep", 1, kMostRanks);
  plan.recipe = read_named<Recipe>(reader, "recipe", kRecipeNames);
  plan.weights = read_named<WeightPrecision>(reader, "weights", kWeightPrecisionNames);
  plan.expert_weights =
      read_named_or(reader, "expert_weights", kWeightPrecisionNames, plan.weights);
  plan.prefill_exchange =
      read_named_or(reader, "prefill_exchange", kExchangeNames, plan.prefill_exchange);
  plan.decode_exchange =
      read_named_or(reader, "decode_exchange", kExchangeNames, plan.decode_exchange);
  plan.comm_sms = reader.integer_or("comm_sms", 0, 4096, 0);
  plan.two_batch_overlap = reader.boolean_or("two_batch_overlap", false);
  plan.cuda_graphs = reader.boolean_or("cuda_graphs", true);
  const JsonNode* placement = reader.optional("placement");
  reader.finish();
  check_degrees(reader, plan, model, cluster);
  check_widths(reader, plan, model);
  check_gpu(reader, plan, role, cluster);
  if (placement != nullptr) {
    plan.placement = read_unit_placement(*placement, plan, model, cluster);
  } else if (model.moe && model.moe->num_experts % plan.ep != 0) {
    reader.fail("ep",
                text(plan.ep) + " does not divide the " + text(model.moe->num_experts) +
                    " experts of " + one_line(model.name) +
                    "; expected a \"placement\" with redundant experts that do");
  }
  return plan;
}

}  // namespace moesim
