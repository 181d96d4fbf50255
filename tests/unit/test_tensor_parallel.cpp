// Tensor parallelism: the FLOPs of all ranks are those of one, what they exchange is the closed
// form of the papers, and steps under it.
#include <string>
#include <vector>

#include "model/rank_grid.hpp"
#include "sim/exposed_time.hpp"
#include "tests/catch.hpp"
#include "tests/op_sums.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

constexpr std::int64_t kTokens = 4096;
constexpr RankLoad kLoad = {32768, 32768, 30208};

ChunkShape shape_of(std::int64_t tp, bool sequence_parallel, Recipe recipe = Recipe::bf16) {
  ChunkShape s;
  s.tokens = s.context = kTokens;
  s.local_experts = 4;
  s.recipe = recipe;
  s.tp = tp;
  s.sequence_parallel = sequence_parallel;
  return s;
}
// What one of `ranks` has to do with its own tokens.
RankLoad part_of(const RankLoad& load, std::int64_t ranks) {
  return {load.rows / ranks, load.padded_rows / ranks, load.tokens_received / ranks};
}

const std::vector<Block> kForward = {Block::attention_f, Block::ffn_f},
                         kBackward = {Block::ffn_b, Block::attention_b};

}  // namespace

TEST_CASE("tensor parallel: the FLOPs of all ranks are those of one", "[tensor_parallel]") {
  for (const char* name : {"llama-3.1-405b", "deepseek-v3", "deepseek-v2-lite", "mixtral-8x7b"}) {
    const ModelSpec m = shipped_model(name);
    for (const LayerKind kind : {LayerKind::dense,
                                 LayerKind::moe,
                                 LayerKind::mtp_projection,
                                 LayerKind::head,
                                 LayerKind::embedding}) {
      if (kind == LayerKind::moe && !m.moe) continue;
      const double one = all_flops(build_layer_ops(m, kind, shape_of(1, false), kLoad));
      for (const std::int64_t tp : {2, 4, 8}) {
        CAPTURE(name, static_cast<int>(kind), tp);
        const LayerOps part = build_layer_ops(m, kind, shape_of(tp, true), part_of(kLoad, tp));
        CHECK(static_cast<double>(tp) * all_flops(part) == one);
      }
    }
  }
}

TEST_CASE("tensor parallel: without sequence parallelism down-projections are repeated",
          "[tensor_parallel]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  const LayerOps one = build_layer_ops(v3, LayerKind::dense, shape_of(1, false), {}),
                 part = build_layer_ops(v3, LayerKind::dense, shape_of(4, false), {});
  // q_a and kv_a with their two gradients each.
  const double repeated = 3 * 2. * kTokens * 7168 * (1536 + 576);
  CHECK(4 * (all_flops(part) - repeated) == all_flops(one) - repeated);
}

TEST_CASE("tensor parallel: fewer key-value heads than ranks are held by several",
          "[tensor_parallel]") {
  const ModelSpec m = shipped_model("llama-3.1-405b");  // 128 heads, 8 of keys and values
  CHECK(rank_share(m, shape_of(8, true)).num_kv_heads == 1);
  CHECK(rank_share(m, shape_of(16, true)).num_kv_heads == 1);
  CHECK(rank_share(m, shape_of(16, true)).num_heads == 8);
  CHECK(rank_share(m, shape_of(16, true)).vocab == 128256 / 16);
}

TEST_CASE("tensor parallel: norms, casts and gate work on a rank's own tokens",
          "[tensor_parallel]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  const LayerOps one = build_layer_ops(
                     v3, LayerKind::moe, shape_of(1, false, Recipe::fp8_block), kLoad),
                 part = build_layer_ops(
                     v3, LayerKind::moe, shape_of(8, true, Recipe::fp8_block), kLoad);
  for (const char* name : {"rmsnorm_attn(+residual)",
                           "cast_x_1x128_fp8",
                           "residual_scale_mul",
                           "rmsnorm_mlp(+residual)",
                           "cast_moe_in_fp8",
                           "gate_topk_gather",
                           "cast_dY_fp8",
                           "rmsnorm_attn_bwd",
                           "rmsnorm_mlp_recompute",
                           "q_a_layernorm",
                           "cast_kv_latent"}) {
    INFO(name);
    CHECK(find_op(part, name)->bytes.in(B) == find_op(one, name)->bytes.in(B) / 8);
  }
  // Work on results of cut products: all tokens, 1/8 of the heads.
  for (const char* name : {"rope_q", "flash_attn_fwd(causal)", "cast_attn_out_fp8"}) {
    INFO(name);
    CHECK(find_op(part, name)->bytes.in(B) == find_op(one, name)->bytes.in(B) / 8);
  }
  CHECK(find_op(part, "q_b_proj")->gemm.m == kTokens);
  CHECK(find_op(part, "q_a_proj")->gemm.m == kTokens / 8);
}

TEST_CASE("tensor parallel: volumes of the papers", "[tensor_parallel]") {
  const ModelSpec m = shipped_model("llama-3.1-405b");
  for (const std::int64_t n : {2, 8, 16}) {
    CAPTURE(n);
    const auto ranks = static_cast<double>(n);
    const double buffer = 2. * kTokens * 16384, all_reduce = 2 * (ranks - 1) / ranks * buffer;
    auto sent = [&](const std::vector<Block>& blocks, bool sequence_parallel) {
      return sent_in(
          m, LayerKind::dense, blocks, shape_of(n, sequence_parallel), SharingGroup::tp, n);
    };
    // Shoeybi et al.: two all-reduces a layer in each direction. Korthikanti et al.: as many bytes
    // forward; backward the inputs of both pairs of products once more.
    CHECK(sent(kForward, false) == 2 * all_reduce);
    CHECK(sent(kForward, true) == 2 * all_reduce);
    CHECK(sent(kBackward, false) == 2 * all_reduce);
    CHECK(sent(kBackward, true) == 3 * all_reduce);
  }
  CHECK(sent_in(m, LayerKind::dense, kForward, shape_of(1, false), SharingGroup::tp, 1) == 0);
}

TEST_CASE("tensor parallel: latents are gathered instead of hidden rows", "[tensor_parallel]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  const auto list = block_collectives(
      v3, LayerKind::dense, Block::attention_f, shape_of(8, true, Recipe::fp8_block), {});
  REQUIRE(list.size() == 2);
  CHECK(list[0].kind == CollectiveKind::all_gather);
  // Both latents in FP8 with a float scale per 128, the rotary key in BF16.
  CHECK(list[0].bytes.in(B) == kTokens * ((1536 + 512) * (1 + 4. / 128) + 2 * 64));
  CHECK(list[1].kind == CollectiveKind::reduce_scatter);
  CHECK(list[1].bytes.in(B) == 2. * kTokens * 7168);
}

TEST_CASE("tensor parallel: ends of the model", "[tensor_parallel]") {
  const ModelSpec m = shipped_model("llama-3.1-405b");
  const double rows = 2. * kTokens * 16384 * 7 / 8;  // one gather or scatter
  auto sent = [&](LayerKind kind, Block block) {
    return sent_in(m, kind, {block}, shape_of(8, true), SharingGroup::tp, 8);
  };
  CHECK(sent(LayerKind::embedding, Block::attention_f) == rows);
  CHECK(sent(LayerKind::embedding, Block::attention_w) == rows);
  // The loss: maximum, sum and label of every token in FP32.
  CHECK(sent(LayerKind::head, Block::ffn_f) == rows + 3 * 2 * 7. / 8 * 4 * kTokens);
  CHECK(sent(LayerKind::head, Block::ffn_b) == 2 * rows);
}

TEST_CASE("expert tensor parallel: each rank has its part of every expert", "[tensor_parallel]") {
  const ModelSpec m = shipped_model("mixtral-8x7b");
  ChunkShape s = shape_of(1, false);
  const auto of_experts = [](const Op& op) { return op.category == Category::moe_gemm; };
  const double one = flops_where(build_layer_ops(m, LayerKind::moe, s, kLoad), of_experts);
  CHECK(sent_in(m, LayerKind::moe, kForward, s, SharingGroup::expert_tp, 1, kLoad) == 0);
  for (const std::int64_t n : {2, 4}) {
    s.expert_tp = n;
    CHECK(static_cast<double>(n) *
              flops_where(build_layer_ops(m, LayerKind::moe, s, kLoad), of_experts) ==
          one);
    // Received rows gathered, results scattered: BF16 both, forward and backward.
    const double rows = 2. * 30208 * 4096,
                 part = static_cast<double>(n - 1) / static_cast<double>(n);
    for (const auto& blocks : {kForward, kBackward})
      CHECK(sent_in(m, LayerKind::moe, blocks, s, SharingGroup::expert_tp, n, kLoad) ==
            2 * part * rows);
  }
}

TEST_CASE("tensor parallel: an exposed collective by hand", "[tensor_parallel]") {
  Scenario scenario = small_v3();
  ParallelPlan plan = scenario.phases[0].plan;
  plan.tp = 8;
  plan.sequence_parallel = true;
  const CostModel model(scenario.profile, scenario.cluster.gpu);
  CostCache costs(model);
  const ExposedTime exposed(scenario.profile, scenario.cluster, plan);
  const BlockCollective gather{
      "gather", CollectiveKind::all_gather, SharingGroup::tp, 64e6 * B, 1, {}, 1};
  const double nvlink = 0.6694 * 200e9, nic = 0.8927 * 50e9;
  CHECK(exposed.alone(gather).in(us) == Approx(1e6 * 64e6 * 7 / 8 / nvlink + 7 * 3.33));
  // Ranks of a group on nodes of their own.
  plan.rank_order = {Axis::cp, Axis::dp, Axis::pp, Axis::tp};
  plan.dp = 2;
  CHECK(tp_group(plan, scenario.cluster).per_node == 1);
  CHECK(exposed.alone(gather).in(us) == Approx(1e6 * 64e6 * 7 / 8 / nic + 7 * 3.7));
  // Beside a product only what is longer than it counts.
  LayerOps layer;
  Op product;
  product.name = "product";
  product.kernel = Kernel::gemm_bf16;
  product.gemm = {4096, 4096, 4096, 1};
  product.flops = 2. * 4096 * 4096 * 4096 * FLOP;
  product.bytes = 3. * 4096 * 4096 * 2 * B;
  layer.blocks[0].push_back(product);
  const SmShare share{132, false};
  BlockCollective hidden = gather;
  hidden.beside = "product";
  CHECK(exposed.of({hidden}, layer, costs, share) ==
        to_tick(exposed.alone(gather) - costs.cost(product, share).time));
  // A weight gradient only where the schedule puts it right after.
  layer.blocks[0][0].pass = Pass::weight_grad;
  CHECK(plan.schedule == ScheduleKind::dualpipe);
  CHECK(exposed.of({hidden}, layer, costs, share) == to_tick(exposed.alone(gather)));
  plan.schedule = ScheduleKind::one_f_one_b;
  CHECK(ExposedTime(scenario.profile, scenario.cluster, plan).of({hidden}, layer, costs, share) ==
        to_tick(exposed.alone(gather) - costs.cost(product, share).time));
  layer.blocks[0][0].pass = Pass::input_grad;
  hidden.bytes = 1e3 * B;
  CHECK(exposed.of({hidden}, {}, costs, share) > 0);
  CHECK(exposed.of({hidden}, layer, costs, share) == 0);
}
