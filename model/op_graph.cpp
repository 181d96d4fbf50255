#include "model/op_graph.hpp"

#include <cmath>

#include "model/op_graph/pieces.hpp"

namespace moesim {

LayerOps build_layer_ops(const ModelSpec& m,
                         LayerKind kind,
                         const ChunkShape& s,
                         const RankLoad& load) {
  LayerOps layer;
  auto block = [&](Block which) {
    return BlockBuilder(layer.blocks[static_cast<std::size_t>(which)], s.recipe);
  };
  BlockBuilder attention_f = block(Block::attention_f), ffn_f = block(Block::ffn_f),
               ffn_b = block(Block::ffn_b), ffn_w = block(Block::ffn_w),
               attention_b = block(Block::attention_b), attention_w = block(Block::attention_w);
  const Dims d(m, s);
  if (kind == LayerKind::embedding) {
    attention_f.memory("embedding", Kernel::copy, Category::head, Pass::forward, d.Td * d.Hd * 4);
    attention_w.memory("embedding_wgrad",
                       Kernel::elementwise,
                       Category::head,
                       Pass::weight_grad,
                       d.Td * d.Hd * 10);
    return layer;
  }
  if (kind == LayerKind::head) {
    head_forward(ffn_f, m, d);
    head_backward(ffn_b, m, d);
    ffn_w.gemm_bf16("lm_head_wgrad", Category::head, Pass::weight_grad, m.vocab, d.H, d.T, 8);
    return layer;
  }
  if (kind == LayerKind::mtp_projection) {
    attention_f.memory("mtp_rmsnorm", Kernel::rmsnorm, kElt, Pass::forward, d.Td * d.Hd * 4, 2);
    attention_f.quantise("mtp_cast", Kernel::cast, Pass::forward, d.Td * d.Hd * 6);
    attention_f.gemm("mtp_projection", Category::ffn_gemm, Pass::forward, d.T, d.H, 2 * d.H);
    attention_b.quantise("mtp_cast_dY", Kernel::cast, Pass::input_grad, d.Td * d.Hd * 3);
    attention_b.gemm(
        "mtp_projection_dgrad", Category::ffn_gemm, Pass::input_grad, d.T, 2 * d.H, d.H);
    attention_b.quantise(
        "mtp_cast_transpose", Kernel::cast_transpose, Pass::input_grad, d.Td * d.Hd * 9);
    attention_b.memory(
        "mtp_rmsnorm_bwd", Kernel::rmsnorm_backward, kElt, Pass::input_grad, d.Td * d.Hd * 8, 2);
    attention_w.wgrad("mtp_projection_wgrad", Category::ffn_gemm, d.H, 2 * d.H, d.T);
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
    attention_f.quantise("cast_moe_in_fp8", Kernel::cast, Pass::forward, d.Td * d.Hd * 3);
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
  return layer;
}

ExpertMessage expert_message(const ModelSpec& m, Recipe recipe) {
  const auto h = static_cast<double>(m.hidden), k = static_cast<double>(m.moe->top_k);
  // Hidden row (FP8 with a float scale per 128), source metadata 8 B, top-k indices and weights;
  // DeepEP pads to 16 B.
  const double row = is_fp8(recipe) ? h + 4 * h / kScaleBlock : 2 * h;
  auto padded = [](double bytes) { return 16.0 * std::ceil(bytes / 16.0) * B; };
  return {padded(row + 8 + 8 * k), padded(2 * h + 8 + 4 * k)};
}

}  // namespace moesim
