// Kernels of a layer in inference: their FLOPs against the counts of the model, the two forms of
// latent attention against each other, bytes by hand.
#include "model/model_counts.hpp"
#include "model/serving/serving_ops.hpp"
#include "tests/catch.hpp"
#include "tests/serving_pools.hpp"

using namespace moesim;

namespace {

double flops(const OpList& ops) {
  double sum = 0;
  for (const Op& op : ops) sum += op.flops.in(FLOP);
  return sum;
}
const Op& op_named(const OpList& ops, std::string_view name) {
  for (const Op& op : ops)
    if (op.name == name) return op;
  FAIL("no operation " << name);
  throw std::logic_error("not reached");
}

UnitPlan over(std::int64_t tp, std::int64_t dp, std::int64_t ep, Recipe recipe) {
  UnitPlan plan;
  plan.tp = tp;
  plan.dp = dp;
  plan.ep = ep;
  plan.recipe = recipe;
  return plan;
}

// Of all layers, and of the head on every token.
double forward_flops(const ModelSpec& m, std::int64_t seq) {
  const ServingOps ops(m, over(1, 8, 8, Recipe::bf16), 2);
  double sum = flops(ops.head(seq));
  for (const bool moe : m.layer_is_moe) {
    AttentionShape shape;
    shape.batch = 1;
    shape.seq = seq;
    sum += flops(ops.attention_input(seq)) + flops(ops.expand(seq)) +
           ops.prefill_core(shape).flops.in(FLOP) + flops(ops.attention_output(seq));
    if (moe) {
      const std::int64_t rows = seq * m.moe->top_k;
      sum += flops(ops.gate(seq)) + flops(ops.shared_expert(seq)) +
             flops(ops.routed_experts({rows, rows, seq}, 8, ExpertLayout::contiguous));
    } else {
      sum += flops(ops.dense_feed_forward(seq));
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("serving kernels: a prompt costs the forward FLOPs of the model", "[serving][ops]") {
  for (const char* name : {"deepseek-v3",
                           "deepseek-v2",
                           "deepseek-v2-lite",
                           "kimi-k2",
                           "deepseek-moe-16b",
                           "qwen3-235b-a22b",
                           "mixtral-8x7b",
                           "llama-3.1-405b"}) {
    CAPTURE(name);
    const ModelSpec m = shipped_model(name);
    const std::int64_t seq = 2048;
    const double per_token = flops_per_token(m, seq, AttentionConvention::causal).forward.in(FLOP);
    CHECK(forward_flops(m, seq) == Approx(per_token * static_cast<double>(seq)).epsilon(1e-9));
  }
}

TEST_CASE("serving kernels: absorbed and expanded latent attention", "[serving][ops]") {
  const ModelSpec m = shipped_model("deepseek-v3");
  const ServingOps ops(m, over(1, 72, 72, Recipe::fp8_block), 2);
  // The same up-projections, once on the cache and once on query and output: equal work a token.
  CHECK(flops(ops.absorb(64)) == Approx(flops(ops.expand(64))));
  CHECK(op_named(ops.absorb(64), "q_nope x W_UK").flops.in(GFLOP) ==
        Approx(2e-9 * 64 * 128 * 128 * 512));
  // A pair: 576 + 512 multiply-adds a head instead of 192 + 128.
  AttentionShape one;
  one.batch = 16;
  one.seq = 1;
  one.prefix = 4096;
  const double expanded = ops.prefill_core(one).flops.in(FLOP) / (16 * 4096.5),
               absorbed = ops.decode_core(16, 4096, 1).flops.in(FLOP) / (16 * 4096);
  CHECK(absorbed / expanded == Approx(1088. / 320));
  // The cache is read once for all heads: 576 values of 2 bytes, beside queries and results.
  const double cache = 16. * 4096 * 576 * 2, queries = 16. * 128 * (576 + 512) * 2;
  CHECK(ops.decode_core(16, 4096, 1).bytes.in(B) == Approx(cache + queries));
  CHECK(ops.decode_core(16, 4096, 2).bytes.in(B) == Approx(cache + 2 * queries));
  CHECK(ServingOps(m, over(1, 72, 72, Recipe::fp8_block), 1).decode_core(16, 4096, 1).bytes.in(B) ==
        Approx(cache / 2 + queries));
  // Both down-projections are the product of DeepGEMM's table.
  CHECK(op_named(ops.attention_input(128), "qkv_a_proj").gemm.n == 2112);
}

TEST_CASE("serving kernels: tensor-parallel ranks share heads and widths", "[serving][ops]") {
  const ModelSpec m = shipped_model("deepseek-v3");
  const ServingOps whole(m, over(1, 8, 8, Recipe::fp8_block), 2),
      quarter(m, over(4, 8, 32, Recipe::fp8_block), 2),
      dense(m, over(4, 1, 1, Recipe::fp8_block), 2);
  CHECK(4 * flops(quarter.attention_output(64)) == Approx(flops(whole.attention_output(64))));
  CHECK(4 * flops(quarter.absorb(64)) == Approx(flops(whole.absorb(64))));
  CHECK(4 * flops(quarter.dense_feed_forward(64)) == Approx(flops(whole.dense_feed_forward(64))));
  CHECK(4 * flops(quarter.head(64)) == Approx(flops(whole.head(64))));
  // The latent products are on every rank.
  CHECK(op_named(quarter.attention_input(64), "qkv_a_proj").flops ==
        op_named(whole.attention_input(64), "qkv_a_proj").flops);
  CHECK(4 * op_named(quarter.attention_input(64), "q_b_proj").flops.in(FLOP) ==
        Approx(op_named(whole.attention_input(64), "q_b_proj").flops.in(FLOP)));
  // Experts over the unit are whole, and the tp ranks share out the tokens; else they are cut.
  CHECK(quarter.expert_tokens(64) == 16);
  CHECK(flops(quarter.shared_expert(16)) == Approx(flops(whole.shared_expert(16))));
  CHECK(dense.expert_tokens(64) == 64);
  CHECK(4 * flops(dense.shared_expert(64)) == Approx(flops(whole.shared_expert(64))));
  const RankLoad load{512, 1024, 64};
  CHECK(4 * flops(dense.routed_experts(load, 256, ExpertLayout::contiguous)) ==
        Approx(flops(whole.routed_experts(load, 256, ExpertLayout::contiguous))));
}

TEST_CASE("serving kernels: rows of experts, packed and masked", "[serving][ops]") {
  const ModelSpec m = shipped_model("deepseek-v3");
  const ServingOps ops(m, over(1, 72, 72, Recipe::fp8_block), 2);
  const RankLoad load{1000, 1536, 900};
  // A packed operand has its padding multiplied; a masked kernel skips what is not there, and the
  // exchange has put its rows where they belong.
  const OpList packed = ops.routed_experts(load, 4, ExpertLayout::contiguous),
               masked = ops.routed_experts(load, 4, ExpertLayout::masked),
               indexed = ops.routed_experts(load, 4, ExpertLayout::indexed);
  CHECK(op_named(packed, "grouped_gate_up").gemm.m == 1536);
  CHECK(op_named(masked, "grouped_gate_up").gemm.m == 1000);
  CHECK(packed.size() == masked.size() + 3);
  // Where experts are on every rank nothing is moved, but results are summed.
  CHECK(indexed.size() == masked.size() + 2);
  CHECK(op_named(indexed, "gather_from_experts").bytes.in(B) == Approx((1000 + 900) * 7168. * 2));
  CHECK(op_named(packed, "gather_from_experts").bytes.in(B) == Approx((1536 + 900) * 7168. * 2));
  CHECK(ops.routed_experts({}, 4, ExpertLayout::masked).empty());
  // Nothing is quantised where nothing is FP8.
  for (const Op& op : ServingOps(m, over(1, 72, 72, Recipe::bf16), 2).attention_input(64))
    CHECK(op.kernel != Kernel::cast);
}

TEST_CASE("serving kernels: a cache of keys and values is read at the roofline", "[serving][ops]") {
  const ModelSpec m = shipped_model("llama-3.1-70b");  // 8 key-value heads of 128
  const ServingOps ops(m, over(1, 1, 1, Recipe::bf16), 2);
  const Op op = ops.decode_core(64, 1000, 1);
  CHECK(op.bytes.in(B) == Approx(64 * 1000. * 2 * 8 * 128 * 2 + 64. * 64 * 256 * 2));
  const GpuSpec gpu = h100_pool(PoolRole::decode, 8).cluster.gpu;
  const Cost cost = roofline_cost(op, gpu);
  CHECK(cost.origin == Origin::roofline);
  CHECK(cost.time.in(us) == Approx((op.bytes / gpu.hbm_bandwidth).in(us)));
}
