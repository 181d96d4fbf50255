// What the backward pass does again, and what is kept instead.
#include <string>

#include "model/saved_tensors.hpp"
#include "model/training_memory.hpp"
#include "sim/step_program.hpp"
#include "tests/catch.hpp"
#include "tests/op_sums.hpp"
#include "tests/small_v3.hpp"
#include "tests/train_trace.hpp"

using namespace moesim;

namespace {

constexpr Recompute kNone{false, false, false, false, false};
constexpr Recompute kFull{false, false, false, false, true};

ChunkShape shape_of(const Recompute& recompute) {
  ChunkShape s = kTraceShape;
  s.recompute = recompute;
  return s;
}
LayerOps layer_of(const ModelSpec& m, LayerKind kind, const Recompute& recompute) {
  return build_layer_ops(m, kind, shape_of(recompute), kTraceBackwardLoad);
}
double recomputed(const LayerOps& layer) {
  return flops_where(layer, [](const Op& op) { return op.pass == Pass::recompute; });
}
double kept(const ModelSpec& m, const Recompute& recompute, std::string_view name) {
  double bytes = 0;
  for (const SavedTensor& t :
       saved_tensors(m, LayerKind::moe, shape_of(recompute), kTraceBackwardLoad))
    if (t.name == name) bytes += t.bytes.in(B);
  return bytes;
}

}  // namespace

TEST_CASE("recompute: a whole layer again is 4/3 of its matrix products", "[recompute]") {
  for (const char* name : {"deepseek-v3", "llama-3.1-405b"}) {
    const ModelSpec m = shipped_model(name);
    const LayerKind kind = m.moe ? LayerKind::moe : LayerKind::dense;
    auto products = [](const LayerOps& layer) {
      return flops_where(layer, [](const Op& op) { return op.category != Category::attention; });
    };
    CHECK(3 * products(layer_of(m, kind, kFull)) == 4 * products(layer_of(m, kind, kNone)));
    const LayerOps full = layer_of(m, kind, kFull);
    CHECK(recomputed(full) ==
          flops_where(full, [](const Op& op) { return op.pass == Pass::forward; }));
  }
}

TEST_CASE("recompute: each part, and nothing when all are off", "[recompute]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  const LayerOps none = layer_of(v3, LayerKind::moe, kNone);
  for (const OpList& ops : none.blocks)
    for (const Op& op : ops) {
      INFO(op.name);
      CHECK(op.pass != Pass::recompute);
    }
  auto with = [&](auto set) {
    Recompute r = kNone;
    set(r);
    return layer_of(v3, LayerKind::moe, r);
  };
  CHECK(find_op(with([](Recompute& r) { r.norm = true; }), "rmsnorm_mlp_recompute") != nullptr);
  CHECK(find_op(with([](Recompute& r) { r.swiglu = true; }), "shared_swiglu_recompute+cast_tr") !=
        nullptr);
  CHECK(recomputed(with([](Recompute& r) { r.latent_up_projection = true; })) ==
        2. * kTraceTokens * (1536. * 24576 + 512. * 32768));
  CHECK(recomputed(with([](Recompute& r) { r.core_attention = true; })) ==
        find_op(none, "flash_attn_fwd(causal)")->flops.in(FLOP));
}

TEST_CASE("recompute: what is kept instead", "[recompute]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  const double t = kTraceTokens, row = 1 + 4. / 128;
  Recompute usual;  // V3's
  CHECK(kept(v3, usual, "attention norm input") == 2 * t * 7168);
  CHECK(kept(v3, usual, "norm outputs") == 0);
  CHECK(kept(v3, kNone, "norm outputs") == 2 * t * 7168 * row);
  CHECK(kept(v3, usual, "queries") == 0);
  CHECK(kept(v3, kNone, "queries") == 2 * t * 128 * 192);
  CHECK(kept(v3, kNone, "keys and values") == 2 * t * 128 * (192 + 128));
  CHECK(kept(v3, kNone, "activation") == (t + 32128) * 2048 * row);
  CHECK(kept(v3, kFull, "layer input") == 2 * t * 7168);
  Recompute core;
  core.core_attention = true;
  CHECK(kept(v3, usual, "attention log-sum-exp") == 4 * t * 128);
  CHECK(kept(v3, core, "attention log-sum-exp") == 0);
  CHECK(saved_activation_bytes(v3, LayerKind::moe, shape_of(kFull), kTraceBackwardLoad).in(B) ==
        2 * t * 7168);
}

TEST_CASE("recompute: sequence parallelism keeps 1/tp of everything of a dense layer",
          "[recompute]") {
  const ModelSpec m = shipped_model("llama-3.1-405b");
  ChunkShape s = kTraceShape;
  s.recipe = Recipe::bf16;
  const double one = saved_activation_bytes(m, LayerKind::dense, s, {}).in(B);
  s.tp = 8;
  s.sequence_parallel = true;
  CHECK(8 * saved_activation_bytes(m, LayerKind::dense, s, {}).in(B) == one);
}

TEST_CASE("recompute: a backward step runs a layer's forward first", "[recompute]") {
  const std::vector<LayerKind> layers = {LayerKind::embedding, LayerKind::dense, LayerKind::moe};
  StepContext context;
  context.b_layers = &layers;
  context.expert_parallel = true;
  context.recompute_layers = true;
  const StepProgram p = build_step_program(StepKind::backward, context);
  std::vector<Block> order;
  for (const ComputeOp& op : p.compute)
    if (op.kind == ComputeKind::block && op.layer == LayerKind::moe) order.push_back(op.block);
  CHECK(order == std::vector<Block>{Block::attention_r,
                                    Block::ffn_r,
                                    Block::ffn_b,
                                    Block::ffn_w,
                                    Block::attention_b,
                                    Block::attention_w});
  std::vector<CommKind> sent;
  for (const CommOp& op : p.comm) sent.push_back(op.kind);
  CHECK(sent ==
        std::vector<CommKind>{CommKind::combine_b, CommKind::dispatch_r, CommKind::dispatch_b});
  // startup, attn(R); mlp(R) needs both transfers' rows, as the stream is in order.
  CHECK(p.comm[1].wait_compute == 2);
  CHECK(p.compute[2].wait_comm == 2);
  std::size_t again = 0;
  for (const ComputeOp& op : p.compute)
    again += op.block == Block::attention_r || op.block == Block::ffn_r ? 1 : 0;
  CHECK(again == 4);  // two layers; the embedding is not a layer
}
