#include "model/op_graph.hpp"

#include <cmath>

#include "model/op_graph/pieces.hpp"

namespace moesim {

namespace {

// Of a width that may not divide: what the rank with most of it has.
std::int64_t share(std::int64_t width, std::int64_t ranks) { return (width + ranks - 1) / ranks; }

// The forward blocks once more.
void add_recomputed_layer(LayerOps& layer) {
  constexpr std::array<std::array<Block, 2>, 2> kAgain = {
      {{Block::attention_f, Block::attention_r}, {Block::ffn_f, Block::ffn_r}}};
  for (const auto& [forward, again] : kAgain) {
    OpList& ops = layer.blocks[static_cast<std::size_t>(again)];
    ops = layer.blocks[static_cast<std::size_t>(forward)];
    for (Op& op : ops) op.pass = Pass::recompute;
  }
}

}  // namespace

ModelSpec rank_share(const ModelSpec& model, const ChunkShape& s) {
  ModelSpec m = model;
  m.num_heads = share(m.num_heads, s.tp);
  m.num_kv_heads = share(m.num_kv_heads, s.tp);  // fewer than ranks are held by several
  m.dense_intermediate = share(m.dense_intermediate, s.tp);
  m.vocab = share(m.vocab, s.tp);
  if (m.moe) {
    m.moe->shared_intermediate = share(m.moe->shared_intermediate, s.tp);
    m.moe->expert_intermediate = share(m.moe->expert_intermediate, s.expert_tp);
  }
  return m;
}

LayerOps build_layer_ops(const ModelSpec& model,
                         LayerKind kind,
                         const ChunkShape& s,
                         const RankLoad& load) {
  const ModelSpec m = rank_share(model, s);
  LayerOps layer;
  auto block = [&](Block which) {
    return BlockBuilder(layer.blocks[static_cast<std::size_t>(which)], s.recipe);
  };
  BlockBuilder attention_f = block(Block::attention_f), ffn_f = block(Block::ffn_f),
               ffn_b = block(Block::ffn_b), ffn_w = block(Block::ffn_w),
               attention_b = block(Block::attention_b), attention_w = block(Block::attention_w);
  const Dims d(m, s);
  const auto tp = static_cast<double>(s.tp);
  if (kind == LayerKind::embedding) {
    // A rank looks up the tokens of its part of the vocabulary and writes zeros for the others; a
    // gradient row is read by every rank and added (FP32) by one.
    attention_f.memory("embedding", Kernel::copy, Category::head, Pass::forward, d.Td * d.Hd * 4);
    attention_w.memory("embedding_wgrad",
                       Kernel::elementwise,
                       Category::head,
                       Pass::weight_grad,
                       d.Td * d.Hd * (2 + 8 / tp));
    return layer;
  }
  if (kind == LayerKind::head) {
    head_forward(ffn_f, m, d);
    head_backward(ffn_b, m, d);
    ffn_w.gemm_bf16("lm_head_wgrad", Category::head, Pass::weight_grad, m.vocab, d.H, d.T, 8);
    return layer;
  }
  if (kind == LayerKind::mtp_projection) {
    const std::int64_t out = share(d.H, s.tp);  // columns of the result on this rank
    const auto outd = static_cast<double>(out);
    attention_f.memory("mtp_rmsnorm", Kernel::rmsnorm, kElt, Pass::forward, d.Od * d.Hd * 4, 2);
    attention_f.quantise("mtp_cast", Kernel::cast, Pass::forward, d.Od * d.Hd * 2);
    attention_f.gemm("mtp_projection", Category::ffn_gemm, Pass::forward, d.T, out, 2 * d.H);
    attention_b.quantise("mtp_cast_dY", Kernel::cast, Pass::input_grad, d.Td * outd);
    attention_b.gemm(
        "mtp_projection_dgrad", Category::ffn_gemm, Pass::input_grad, d.T, 2 * d.H, out);
    attention_b.transpose("mtp_cast_transpose", Pass::input_grad, d.Td * (2 * d.Hd + outd));
    attention_b.memory(
        "mtp_rmsnorm_bwd", Kernel::rmsnorm_backward, kElt, Pass::input_grad, d.Od * d.Hd * 8, 2);
    attention_w.wgrad("mtp_projection_wgrad", Category::ffn_gemm, out, 2 * d.H, d.T);
    return layer;
  }

  if (m.latent)
    latent_attention_forward(attention_f, m, s);
  else
    grouped_attention_forward(attention_f, m, s);
  ffn_entry_forward(attention_f, d);
  const bool moe = kind == LayerKind::moe;
  if (moe) {
    gate_forward(attention_f, m, d);
    const MoeDims e(m, s, load);
    const std::int64_t shared = m.moe->shared_intermediate;
    if (shared > 0) swiglu_forward(ffn_f, d, shared);
    experts_forward(ffn_f, e, static_cast<double>(m.moe->top_k));
    if (shared > 0) swiglu_backward(ffn_b, d, shared);
    experts_backward(ffn_b, e);
    ffn_input_norm_recompute(ffn_b, d);
    experts_input_backward(ffn_b, e);
    if (shared > 0) swiglu_input_backward(ffn_b, d, shared);
    if (shared > 0) ffn_w.wgrad("shared_down_wgrad", Category::ffn_gemm, d.H, shared, d.T);
    experts_wgrad(ffn_w, e);
    if (shared > 0) ffn_w.wgrad("shared_gate_up_wgrad", Category::ffn_gemm, 2 * shared, d.H, d.T);
    gate_backward(attention_b, m, d);
  } else {
    attention_f.quantise("cast_moe_in_fp8", Kernel::cast, Pass::forward, d.Od * d.Hd);
    swiglu_forward(ffn_f, d, m.dense_intermediate);
    swiglu_backward(ffn_b, d, m.dense_intermediate);
    ffn_input_norm_recompute(ffn_b, d);
    swiglu_input_backward(ffn_b, d, m.dense_intermediate);
    ffn_w.wgrad("shared_down_wgrad", Category::ffn_gemm, d.H, m.dense_intermediate, d.T);
    ffn_w.wgrad("shared_gate_up_wgrad", Category::ffn_gemm, 2 * m.dense_intermediate, d.H, d.T);
  }
  ffn_entry_backward(attention_b, d);
  if (m.latent)
    latent_attention_backward(attention_b, m, s);
  else
    grouped_attention_backward(attention_b, m, s);
  if (m.latent)
    latent_attention_wgrad(attention_w, m, s);
  else
    grouped_attention_wgrad(attention_w, m, s);
  if (s.recompute.whole_layer) add_recomputed_layer(layer);
  return layer;
}

ExpertMessage expert_message(const ModelSpec& m, Recipe recipe) {
  const auto h = static_cast<double>(m.hidden), k = static_cast<double>(m.moe->top_k);
  // Hidden row, source metadata 8 B, top-k indices and weights; DeepEP pads to 16 B.
  const double row = h * dispatched_row(recipe);
  auto padded = [](double bytes) { return 16.0 * std::ceil(bytes / 16.0) * B; };
  return {padded(row + 8 + 8 * k), padded(2 * h + 8 + 4 * k)};
}

}  // namespace moesim
