#include "model/op_graph/pieces.hpp"

namespace moesim {

void grouped_attention_forward(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  const Dims d(m, s);
  const std::int64_t qkv = (m.num_heads + 2 * m.num_kv_heads) * m.head_dim,
                     out = m.num_heads * m.head_dim;
  const auto outd = static_cast<double>(out),
             kvd = static_cast<double>(m.num_kv_heads * m.head_dim);
  b.memory("rmsnorm_attn(+residual)", Kernel::rmsnorm, kElt, Pass::forward, d.Od * d.Hd * 8);
  b.quantise("cast_x_1x128_fp8", Kernel::cast, Pass::forward, d.Od * d.Hd);
  b.scale_transposes(Pass::forward, 2);
  b.gemm("qkv_proj", kProj, Pass::forward, d.T, qkv, d.H);
  if (m.qk_norm) b.memory("qk_norm", Kernel::rmsnorm, kElt, Pass::forward, d.Td * (outd + kvd) * 4);
  b.memory("rope_qk", Kernel::rope, kElt, Pass::forward, d.Td * (outd + kvd) * 4);
  b.attention("flash_attn_fwd(causal)",
              Kernel::attention_forward,
              Pass::forward,
              m,
              s,
              attention_forward_flops(m, s),
              d.Td * (2 * outd + 2 * kvd) * 2);
  merge_ring_outputs(b, m, s, Pass::forward);
  b.quantise("cast_attn_out_fp8", Kernel::cast, Pass::forward, d.Td * outd);
  b.gemm("o_proj", kProj, Pass::forward, d.T, d.H, out);
}

void grouped_attention_backward(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  const Dims d(m, s);
  const Pass grad = Pass::input_grad;
  const std::int64_t qkv = (m.num_heads + 2 * m.num_kv_heads) * m.head_dim,
                     out = m.num_heads * m.head_dim;
  const auto outd = static_cast<double>(out),
             kvd = static_cast<double>(m.num_kv_heads * m.head_dim),
             qkvd = static_cast<double>(qkv);
  b.quantise("cast_dY_fp8", Kernel::cast, grad, d.Od * d.Hd);
  b.transpose_weight("transpose_w_o_proj", grad, d.Hd * outd);
  b.scale_transposes(grad, 2);
  b.gemm("o_proj_dgrad", kProj, grad, d.T, out, d.H);
  b.transpose("cast_transpose_attn_out", grad, d.Td * outd);
  b.transpose("cast_transpose_dY", grad, d.Td * d.Hd);
  if (s.recompute.core_attention) {
    b.attention("flash_attn_fwd(recompute)",
                Kernel::attention_forward,
                Pass::recompute,
                m,
                s,
                attention_forward_flops(m, s),
                d.Td * (2 * outd + 2 * kvd) * 2);
    merge_ring_outputs(b, m, s, Pass::recompute);
  }
  b.memory("flash_bwd_preprocess(dO.O, zero dQacc)",
           Kernel::attention_backward_edges,
           Category::attention,
           grad,
           d.Td * outd * 8);
  b.attention("flash_attn_bwd(causal)",
              Kernel::attention_backward,
              grad,
              m,
              s,
              attention_backward_flops(m, s),
              d.Td * (4 * outd + 4 * kvd) * 2);
  merge_ring_gradients(b, m, s);
  b.memory("flash_bwd_postprocess_dQ",
           Kernel::attention_backward_edges,
           Category::attention,
           grad,
           d.Td * outd * 6);
  b.memory("rope_qk_bwd", Kernel::rope, kElt, grad, d.Td * (outd + kvd) * 4);
  if (m.qk_norm)
    b.memory("qk_norm_bwd", Kernel::rmsnorm_backward, kElt, grad, d.Td * (outd + kvd) * 8);
  b.quantise("cast_dQKV_fp8", Kernel::cast, grad, d.Td * qkvd);
  b.transpose_weight("transpose_w_qkv", grad, d.Hd * qkvd);
  b.gemm("qkv_dgrad", kProj, grad, d.T, d.H, qkv);
  b.transpose("cast_transpose_dQKV", grad, d.Td * qkvd);
  if (s.recompute.norm)
    b.memory("rmsnorm_attn_recompute", Kernel::rmsnorm, kElt, Pass::recompute, d.Od * d.Hd * 6);
  transpose_norm_output(b, d, d.Td, 1);
  b.memory("rmsnorm_attn_bwd", Kernel::rmsnorm_backward, kElt, grad, d.Od * d.Hd * 8);
}

void grouped_attention_wgrad(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  b.wgrad("o_proj_wgrad", kProj, m.hidden, m.num_heads * m.head_dim, s.tokens);
  b.wgrad("qkv_wgrad", kProj, (m.num_heads + 2 * m.num_kv_heads) * m.head_dim, m.hidden, s.tokens);
}

}  // namespace moesim
