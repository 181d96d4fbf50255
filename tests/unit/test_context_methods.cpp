// Three ways to let a part of a sequence see the whole: FLOPs, volumes, and what a ring hides.
#include <string>

#include "sim/exposed_time.hpp"
#include "tests/catch.hpp"
#include "tests/op_sums.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

constexpr std::int64_t kSeq = 32768, kCp = 8, kTokens = kSeq / kCp;

ChunkShape shape_of(ContextMethod method, std::int64_t sequences = 1) {
  ChunkShape s;
  s.sequences = sequences;
  s.tokens = sequences * kTokens;
  s.context = kSeq;
  s.cp = kCp;
  s.cp_method = method;
  s.recipe = Recipe::bf16;
  return s;
}
double sent(const ModelSpec& m, Block block, const ChunkShape& s) {
  return sent_in(m, LayerKind::dense, {block}, s, SharingGroup::cp, kCp);
}

constexpr ContextMethod kMethods[] = {
    ContextMethod::all_gather, ContextMethod::ring, ContextMethod::ulysses};

}  // namespace

TEST_CASE("context parallel: every method attends to as many pairs", "[context_parallel]") {
  const ModelSpec m = shipped_model("llama-3.1-405b");
  ChunkShape whole = shape_of(ContextMethod::all_gather);
  whole.tokens = kSeq;
  whole.cp = 1;
  const LayerOps one = build_layer_ops(m, LayerKind::dense, whole, {});
  for (const ContextMethod method : kMethods) {
    CAPTURE(static_cast<int>(method));
    const LayerOps part = build_layer_ops(m, LayerKind::dense, shape_of(method), {});
    CHECK(kCp * all_flops(part) == all_flops(one));
  }
  const Op ring = *find_op(build_layer_ops(m, LayerKind::dense, shape_of(ContextMethod::ring), {}),
                           "flash_attn_fwd(causal)");
  CHECK(ring.launches == kCp);  // a kernel a piece, each half of a square
  CHECK(ring.attention.seq == kTokens);
  CHECK(ring.attention.prefix == 0);
  const Op ulysses =
      *find_op(build_layer_ops(m, LayerKind::dense, shape_of(ContextMethod::ulysses), {}),
               "flash_attn_fwd(causal)");
  CHECK(ulysses.attention.seq == kSeq);
  CHECK(ulysses.attention.heads == 128 / kCp);
}

TEST_CASE("context parallel: only gathered latents are projected by every rank",
          "[context_parallel]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  auto rows = [&](ContextMethod method) {
    return find_op(build_layer_ops(v3, LayerKind::dense, shape_of(method), {}), "kv_b_proj")
        ->gemm.m;
  };
  CHECK(rows(ContextMethod::all_gather) == kSeq);
  CHECK(rows(ContextMethod::ring) == kTokens);
  CHECK(rows(ContextMethod::ulysses) == kTokens);
}

TEST_CASE("context parallel: volumes", "[context_parallel]") {
  const ModelSpec m = shipped_model("llama-3.1-405b");  // 128 heads and 8 of keys, 128 wide
  const double kv = 2. * kTokens * 2 * 8 * 128;         // bytes of a rank's keys and values
  const double parts = 7. / 8;
  // All gathered: seven pieces come in; backward again, and their gradients go out.
  CHECK(sent(m, Block::attention_f, shape_of(ContextMethod::all_gather)) == 7 * kv);
  CHECK(sent(m, Block::attention_b, shape_of(ContextMethod::all_gather)) == 2 * 7 * kv);
  // A ring moves as much, a piece at a time.
  CHECK(sent(m, Block::attention_f, shape_of(ContextMethod::ring)) == 7 * kv);
  CHECK(sent(m, Block::attention_b, shape_of(ContextMethod::ring)) == 2 * 7 * kv);
  // Ulysses: queries, keys, values and the output, all but the own eighth.
  const double queries = 2. * kTokens * 128 * 128;
  CHECK(sent(m, Block::attention_f, shape_of(ContextMethod::ulysses)) ==
        parts * (2 * queries + kv));
  CHECK(sent(m, Block::attention_b, shape_of(ContextMethod::ulysses)) ==
        parts * (2 * queries + kv));
  // Under tensor parallelism of 8 a rank has 16 heads and one of keys, which all eight want.
  ChunkShape both = shape_of(ContextMethod::ulysses);
  both.tp = 8;
  both.sequence_parallel = true;
  CHECK(sent(m, Block::attention_f, both) == parts * (2 * queries / 8 + kv));
  // Two sequences are twice one.
  for (const ContextMethod method : kMethods)
    CHECK(sent(m, Block::attention_b, shape_of(method, 2)) ==
          2 * sent(m, Block::attention_b, shape_of(method)));
}

TEST_CASE("context parallel: latent attention moves latents, or rebuilt heads",
          "[context_parallel]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  CHECK(sent(v3, Block::attention_f, shape_of(ContextMethod::all_gather)) ==
        7. * kTokens * 2 * (512 + 64));
  CHECK(sent(v3, Block::attention_f, shape_of(ContextMethod::ring)) ==
        7. * kTokens * 2 * 128 * (192 + 128));
  const double q_k_v = 2. * kTokens * 128 * (192 + 192 + 128), out = 2. * kTokens * 128 * 128;
  CHECK(sent(v3, Block::attention_f, shape_of(ContextMethod::ulysses)) == 7. / 8 * (q_k_v + out));
  // Rebuilt in the backward pass and swapped again, unless kept.
  ChunkShape s = shape_of(ContextMethod::ulysses);
  CHECK(sent(v3, Block::attention_b, s) == 7. / 8 * (2 * q_k_v + out));
  s.recompute.latent_up_projection = false;
  CHECK(sent(v3, Block::attention_b, s) == 7. / 8 * (q_k_v + out));
}

TEST_CASE("context parallel: a ring hides behind attention that is long enough",
          "[context_parallel]") {
  const Scenario scenario = small_v3();
  ParallelPlan plan = scenario.phases[0].plan;
  plan.cp = kCp;
  const CostModel model(scenario.profile, scenario.cluster.gpu);
  CostCache costs(model);
  const ExposedTime exposed(scenario.profile, scenario.cluster, plan);
  const SmShare share{132, false};
  const ModelSpec m = shipped_model("llama-3.1-405b");
  const ChunkShape s = shape_of(ContextMethod::ring);
  const auto hops = block_collectives(m, LayerKind::dense, Block::attention_f, s, {});
  REQUIRE(hops.size() == 1);
  CHECK(hops[0].count == kCp - 1);
  const LayerOps layer = build_layer_ops(m, LayerKind::dense, s, {});
  CHECK(exposed.of(hops, layer, costs, share) == 0);
  // Without attention every hop is there in full.
  const double hop = 3.33e-6 + 2. * kTokens * 2 * 8 * 128 / (0.6694 * 200e9);
  CHECK(exposed.of(hops, {}, costs, share) == 7 * to_tick(exposed.alone(hops[0])));
  CHECK(exposed.alone(hops[0]).in(moesim::s) == Approx(hop));
  // In between: what a hop takes longer than the attention of a piece.
  auto wide = hops;
  wide[0].bytes = 1e9 * B;
  const Seconds piece = 0.125 * costs.cost(*find_op(layer, "flash_attn_fwd(causal)"), share).time;
  CHECK(exposed.of(wide, layer, costs, share) == 7 * to_tick(exposed.alone(wide[0]) - piece));
}
