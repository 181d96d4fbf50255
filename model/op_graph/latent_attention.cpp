#include "model/op_graph/pieces.hpp"

namespace moesim {

namespace {

void latent_up_projection(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s, Pass pass) {
  const LatentAttention& a = *m.latent;
  const Dims d(m, s);
  const bool again = pass == Pass::recompute;
  // Where context parallelism gathers the latents of the whole sequence, every rank projects them.
  const std::int64_t kv_tokens = s.kv_tokens();
  const auto kv_t = static_cast<double>(kv_tokens), heads = static_cast<double>(m.num_heads);
  // Latents are normalised and cast before tensor-parallel ranks gather them.
  const double latent_t = d.Od * kv_t / d.Td;
  const auto nope = static_cast<double>(a.qk_nope_head_dim),
             rope = static_cast<double>(a.qk_rope_head_dim);
  const auto qr = static_cast<double>(a.q_lora_rank), kvr = static_cast<double>(a.kv_lora_rank);
  if (a.q_lora_rank > 0)
    b.memory(again ? "q_a_layernorm_recompute" : "q_a_layernorm",
             Kernel::rmsnorm,
             kElt,
             pass,
             d.Od * qr * 4);
  b.memory("kv_latent_copy(contig)", Kernel::copy, kElt, pass, latent_t * kvr * 4);
  b.memory(again ? "kv_a_layernorm_recompute" : "kv_a_layernorm",
           Kernel::rmsnorm,
           kElt,
           pass,
           latent_t * kvr * 4);
  if (again && !s.recompute.latent_up_projection) return;
  if (!again) b.memory("k_rope_copy", Kernel::copy, kElt, pass, kv_t * rope * 4);
  if (a.q_lora_rank > 0) {
    b.quantise("cast_q_latent", Kernel::cast, pass, d.Od * qr);
    b.gemm(again ? "q_b_proj_recompute" : "q_b_proj",
           kProj,
           pass,
           d.T,
           m.num_heads * m.head_dim,
           a.q_lora_rank);
  }
  b.quantise("cast_kv_latent", Kernel::cast, pass, latent_t * kvr);
  b.gemm(again ? "kv_b_proj_recompute" : "kv_b_proj",
         kProj,
         pass,
         kv_tokens,
         m.num_heads * (a.qk_nope_head_dim + a.v_head_dim),
         a.kv_lora_rank);
  b.memory("rope_k", Kernel::copy, kElt, pass, kv_t * rope * 4);
  b.memory("copy_k_nope->K(192)", Kernel::copy, kElt, pass, kv_t * heads * nope * 4);
  b.memory("copy_k_rope_bcast->K(192)",
           Kernel::broadcast_copy,
           kElt,
           pass,
           kv_t * rope * 2 * (heads + 1));
  b.memory("rope_q", Kernel::rope, kElt, pass, d.Td * heads * rope * 4);
}

}  // namespace

void latent_attention_forward(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  const LatentAttention& a = *m.latent;
  const Dims d(m, s);
  const auto heads = static_cast<double>(m.num_heads), v = static_cast<double>(a.v_head_dim),
             qk = static_cast<double>(m.head_dim);
  b.memory("rmsnorm_attn(+residual)", Kernel::rmsnorm, kElt, Pass::forward, d.Od * d.Hd * 8);
  b.quantise(
      "cast_x_1x128_fp8", Kernel::cast, Pass::forward, d.Od * d.Hd, a.q_lora_rank > 0 ? 2 : 1);
  b.scale_transposes(Pass::forward, 5);
  if (a.q_lora_rank > 0)
    b.gemm("q_a_proj", kProj, Pass::forward, d.own, a.q_lora_rank, d.H);
  else
    b.gemm("q_proj", kProj, Pass::forward, d.T, m.num_heads * m.head_dim, d.H);
  b.gemm("kv_a_proj", kProj, Pass::forward, d.own, a.kv_lora_rank + a.qk_rope_head_dim, d.H);
  b.small("rope_arange", kElt, Pass::forward, 2);
  latent_up_projection(b, m, s, Pass::forward);
  b.attention("flash_attn_fwd(causal)",
              Kernel::attention_forward,
              Pass::forward,
              m,
              s,
              attention_forward_flops(m, s),
              d.Td * heads * (2 * qk + 2 * v) * 2);
  merge_ring_outputs(b, m, s, Pass::forward);
  b.keep_attention_output(
      "cast_attn_out_E5M6(special fmt,save)", Kernel::cast_e5m6, Pass::forward, d.Td * heads * v);
  b.quantise("cast_attn_out_fp8", Kernel::cast, Pass::forward, d.Td * heads * v);
  b.gemm("o_proj", kProj, Pass::forward, d.T, d.H, m.num_heads * a.v_head_dim);
}

void latent_attention_backward(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  const LatentAttention& a = *m.latent;
  const Dims d(m, s);
  const Pass grad = Pass::input_grad;
  const std::int64_t q_width = m.num_heads * m.head_dim,
                     kv_width = m.num_heads * (a.qk_nope_head_dim + a.v_head_dim);
  const std::int64_t out_width = m.num_heads * a.v_head_dim,
                     kv_a = a.kv_lora_rank + a.qk_rope_head_dim;
  const std::int64_t kv_tokens = s.kv_tokens();
  const auto heads = static_cast<double>(m.num_heads), v = static_cast<double>(a.v_head_dim),
             qk = static_cast<double>(m.head_dim);
  const auto nope = static_cast<double>(a.qk_nope_head_dim),
             rope = static_cast<double>(a.qk_rope_head_dim);
  const auto qr = static_cast<double>(a.q_lora_rank), kvr = static_cast<double>(a.kv_lora_rank),
             kv_t = static_cast<double>(kv_tokens);
  b.keep_attention_output("castback_attn_out_E5M6", Kernel::cast_back_e5m6, grad, d.Td * heads * v);
  b.quantise("cast_dY_fp8", Kernel::cast, grad, d.Od * d.Hd);
  b.transpose_weight("transpose_w_o_proj", grad, d.Hd * heads * v);
  b.scale_transposes(grad, 7);
  b.gemm("o_proj_dgrad", kProj, grad, d.T, out_width, d.H);
  b.transpose("cast_transpose_attn_out", grad, d.Td * heads * v);
  b.transpose("cast_transpose_dY", grad, d.Td * d.Hd);
  if (s.recompute.latent_up_projection || s.recompute.norm)
    latent_up_projection(b, m, s, Pass::recompute);
  if (s.recompute.core_attention) {
    b.attention("flash_attn_fwd(recompute)",
                Kernel::attention_forward,
                Pass::recompute,
                m,
                s,
                attention_forward_flops(m, s),
                d.Td * heads * (2 * qk + 2 * v) * 2);
    merge_ring_outputs(b, m, s, Pass::recompute);
  }
  b.memory("flash_bwd_preprocess(dO.O, zero dQacc)",
           Kernel::attention_backward_edges,
           Category::attention,
           grad,
           d.Td * heads * (4 * v + 4 * qk));
  b.attention("flash_attn_bwd(causal)",
              Kernel::attention_backward,
              grad,
              m,
              s,
              attention_backward_flops(m, s),
              d.Td * heads * (2 * (2 * qk + 2 * v) + 2 * (qk + v)));
  merge_ring_gradients(b, m, s);
  b.memory("flash_bwd_postprocess_dQ",
           Kernel::attention_backward_edges,
           Category::attention,
           grad,
           d.Td * heads * qk * 6);
  b.memory("rope_q_bwd", Kernel::rope, kElt, grad, d.Td * heads * rope * 4);
  if (a.q_lora_rank > 0) {
    b.transpose_weight("transpose_w_q_b", grad, static_cast<double>(q_width) * qr);
    b.quantise("cast_dQ_fp8", Kernel::cast, grad, d.Td * static_cast<double>(q_width));
    b.gemm("q_b_dgrad", kProj, grad, d.T, a.q_lora_rank, q_width);
  } else {
    b.transpose_weight("transpose_w_q", grad, static_cast<double>(q_width) * d.Hd);
    b.quantise("cast_dQ_fp8", Kernel::cast, grad, d.Td * static_cast<double>(q_width));
    b.gemm("q_dgrad", kProj, grad, d.T, d.H, q_width);
  }
  b.memory("reduce_dk_rope_over_heads", Kernel::elementwise, kElt, grad, kv_t * heads * rope * 2);
  b.small("rope_k_bwd", kElt, grad, 1);
  b.memory("copy_dK_nope->dKV", Kernel::copy, kElt, grad, kv_t * heads * nope * 4);
  b.memory("copy_dV->dKV", Kernel::copy, kElt, grad, kv_t * heads * v * 4);
  b.transpose_weight("transpose_w_kv_b", grad, static_cast<double>(kv_width) * kvr);
  b.quantise("cast_dKV_fp8", Kernel::cast, grad, kv_t * static_cast<double>(kv_width));
  b.gemm("kv_b_dgrad", kProj, grad, kv_tokens, a.kv_lora_rank, kv_width);
  b.transpose("cast_transpose_dKV", grad, kv_t * static_cast<double>(kv_width));
  b.transpose("cast_transpose_kv_latent", grad, kv_t * kvr);
  b.transpose("cast_transpose_dQ", grad, d.Td * static_cast<double>(q_width));
  if (a.q_lora_rank > 0) b.transpose("cast_transpose_q_latent", grad, d.Td * qr);
  b.small("latent_rmsnorm_bwd(+finalize,accum)", kElt, grad, 6);
  b.small("slice_bwd_fill/copy/add", kElt, grad, 5);
  if (s.recompute.norm)
    b.memory("rmsnorm_attn_recompute", Kernel::rmsnorm, kElt, Pass::recompute, d.Od * d.Hd * 6);
  b.quantise("cast_d_kv_a", Kernel::cast, grad, d.Od * static_cast<double>(kv_a));
  b.transpose_weight("transpose_w_kv_a", grad, d.Hd * static_cast<double>(kv_a));
  b.gemm("kv_a_dgrad", kProj, grad, d.own, d.H, kv_a);
  if (a.q_lora_rank > 0)  // one copy for each of both down-projections
    transpose_norm_output(b, d, d.Od, 2);
  else
    transpose_norm_output(b, d, d.Td, 1);
  b.transpose("cast_transpose_d_kv_a", grad, d.Od * static_cast<double>(kv_a));
  if (a.q_lora_rank > 0) {
    b.quantise("cast_d_q_a", Kernel::cast, grad, d.Od * qr);
    b.transpose_weight("transpose_w_q_a", grad, d.Hd * qr);
    b.gemm("q_a_dgrad", kProj, grad, d.own, d.H, a.q_lora_rank);
    b.transpose("cast_transpose_d_q_a", grad, d.Od * qr);
  }
  b.memory("rmsnorm_attn_bwd", Kernel::rmsnorm_backward, kElt, grad, d.Od * d.Hd * 8);
}

void latent_attention_wgrad(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  const LatentAttention& a = *m.latent;
  const Dims d(m, s);
  b.wgrad("o_proj_wgrad", kProj, d.H, m.num_heads * a.v_head_dim, d.T);
  b.wgrad("kv_b_wgrad",
          kProj,
          m.num_heads * (a.qk_nope_head_dim + a.v_head_dim),
          a.kv_lora_rank,
          s.kv_tokens());
  if (a.q_lora_rank > 0) b.wgrad("q_b_wgrad", kProj, m.num_heads * m.head_dim, a.q_lora_rank, d.T);
  b.wgrad("kv_a_wgrad", kProj, a.kv_lora_rank + a.qk_rope_head_dim, d.H, d.own);
  if (a.q_lora_rank > 0)
    b.wgrad("q_a_wgrad", kProj, a.q_lora_rank, d.H, d.own);
  else
    b.wgrad("q_wgrad", kProj, m.num_heads * m.head_dim, d.H, d.T);
}

}  // namespace moesim
