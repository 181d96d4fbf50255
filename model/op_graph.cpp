#include "model/op_graph.hpp"

#include <cmath>

namespace moesim {
namespace {

constexpr std::int64_t kScaleBlock = 128;  // elements that share a scale (V3, section 3.3.2)

// Appends operations to one block. All sizes are elements; the byte counts are minimal traffic: each operand read once,
// each result written once.
class BlockBuilder {
 public:
  BlockBuilder(OpList& ops, Recipe recipe) : ops_(ops), fp8_(recipe == Recipe::fp8_block) {}

  // out[m, n] = a[m, k] b[k, n] with BF16 out; FP8 operands when the recipe says so.
  void gemm(std::string_view name, Category category, Pass pass, std::int64_t m, std::int64_t n, std::int64_t k,
            std::int64_t groups = 1) {
    push_gemm(name, fp8_ ? Kernel::gemm_fp8 : Kernel::gemm_bf16, category, pass, {m, n, k, groups}, 1, 2);
  }
  // dW[n_out, n_in] += dY^T X over `tokens` rows, accumulated in FP32 (read and write: 8 bytes an element).
  void wgrad(std::string_view name, Category category, std::int64_t n_out, std::int64_t n_in, std::int64_t tokens,
             std::int64_t groups = 1) {
    const std::int64_t k = (tokens + groups - 1) / groups;
    push_gemm(name, fp8_ ? Kernel::gemm_fp8_wgrad : Kernel::gemm_bf16, category, Pass::weight_grad, {n_out, n_in, k, 1},
              static_cast<double>(groups), 8);
  }
  // Always BF16 operands; `out_bytes` per element of the result.
  void gemm_bf16(std::string_view name, Category category, Pass pass, std::int64_t m, std::int64_t n, std::int64_t k,
                 double out_bytes) {
    push_gemm(name, Kernel::gemm_bf16, category, pass, {m, n, k, 1}, 1, out_bytes);
  }
  void attention(std::string_view name, Kernel kernel, Pass pass, const ModelSpec& m, std::int64_t tokens, double flops, double bytes) {
    ops_.push_back({name, kernel, Category::attention, pass, 1, {tokens, m.head_dim, m.value_head_dim(), m.num_heads}, flops * FLOP, bytes * B, 0});
  }
  void memory(std::string_view name, Kernel kernel, Category category, Pass pass, double bytes, double launches = 1) {
    ops_.push_back({name, kernel, category, pass, launches, {}, Flop(), bytes * B, 0});
  }
  // Kernels that exist only because operands are quantised.
  void quantise(std::string_view name, Kernel kernel, Pass pass, double bytes, double launches = 1) {
    if (fp8_) memory(name, kernel, Category::quantise, pass, bytes, launches);
  }
  // Activation of `elements` results, fused with the cast of its result where the recipe has one: gate and up in, act out.
  void swiglu(std::string_view name, Pass pass, double elements) {
    memory(name, Kernel::swiglu, fp8_ ? Category::quantise : Category::elementwise, pass, elements * (fp8_ ? 5 : 6));
  }
  // SwiGLU with its cast fused in; without FP8 it only computes.
  void swiglu(std::string_view name, Pass pass, double elements_bytes_fp8, double elements_bytes_bf16) {
    memory(name, Kernel::swiglu, fp8_ ? Category::quantise : Category::elementwise, pass, fp8_ ? elements_bytes_fp8 : elements_bytes_bf16);
  }
  void small(std::string_view name, Category category, Pass pass, double launches) {
    memory(name, Kernel::small, category, pass, 0, launches);
  }
  void scale_transposes(Pass pass, double launches) { quantise("scale_transpose", Kernel::scale_transpose, pass, 0, launches); }

 private:
  void push_gemm(std::string_view name, Kernel kernel, Category category, Pass pass, GemmShape shape, double launches,
                 double out_bytes) {
    const auto m = static_cast<double>(shape.m), n = static_cast<double>(shape.n), k = static_cast<double>(shape.k);
    const double in = kernel == Kernel::gemm_bf16 ? 2 : 1;
    const double bytes = in * (m * k + static_cast<double>(shape.groups) * n * k) + out_bytes * m * n;
    ops_.push_back({name, kernel, category, pass, launches, shape, 2 * m * n * k * launches * FLOP, bytes * B,
                    kernel == Kernel::gemm_bf16 ? out_bytes : 0});
  }
  OpList& ops_;
  bool fp8_;
};

struct Dims {
  std::int64_t T, H;  // tokens on this rank, hidden
  double Td, Hd;
  Dims(const ModelSpec& m, const ChunkShape& s)
      : T(s.tokens), H(m.hidden), Td(static_cast<double>(s.tokens)), Hd(static_cast<double>(m.hidden)) {}
};

constexpr Category kProj = Category::attention_gemm;
constexpr Category kElt = Category::elementwise;

// Scores and their values: causal, so half the context on average; the sequence is balanced over the context-parallel ranks.
double attention_forward_flops(const ModelSpec& m, const ChunkShape& s) {
  const double keys = 0.5 * static_cast<double>(s.context);
  return 2.0 * static_cast<double>(s.tokens) * keys * static_cast<double>(m.num_heads * (m.head_dim + m.value_head_dim()));
}
// Five products: S = QK^T again, dV, dP, dQ, dK; three of width head_dim, two of the value width.
double attention_backward_flops(const ModelSpec& m, const ChunkShape& s) {
  return attention_forward_flops(m, s) * static_cast<double>(3 * m.head_dim + 2 * m.value_head_dim()) /
         static_cast<double>(m.head_dim + m.value_head_dim());
}

// --- latent attention (MLA) ------------------------------------------------------------------------------------------

void latent_up_projection(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s, Pass pass) {
  const LatentAttention& a = *m.latent;
  const Dims d(m, s);
  const bool again = pass == Pass::recompute;
  // Context parallelism gathers the latent of the whole sequence and projects it on every rank.
  const std::int64_t kv_tokens = d.T * s.cp;
  const auto kv_t = static_cast<double>(kv_tokens), heads = static_cast<double>(m.num_heads);
  const auto nope = static_cast<double>(a.qk_nope_head_dim), rope = static_cast<double>(a.qk_rope_head_dim);
  const auto qr = static_cast<double>(a.q_lora_rank), kvr = static_cast<double>(a.kv_lora_rank);
  if (a.q_lora_rank > 0) b.memory(again ? "q_a_layernorm_recompute" : "q_a_layernorm", Kernel::rmsnorm, kElt, pass, d.Td * qr * 4);
  b.memory("kv_latent_copy(contig)", Kernel::copy, kElt, pass, kv_t * kvr * 4);
  b.memory(again ? "kv_a_layernorm_recompute" : "kv_a_layernorm", Kernel::rmsnorm, kElt, pass, kv_t * kvr * 4);
  if (!again) b.memory("k_rope_copy", Kernel::copy, kElt, pass, kv_t * rope * 4);
  if (a.q_lora_rank > 0) {
    b.quantise("cast_q_latent", Kernel::cast, pass, d.Td * qr * 3);
    b.gemm(again ? "q_b_proj_recompute" : "q_b_proj", kProj, pass, d.T, m.num_heads * m.head_dim, a.q_lora_rank);
  }
  b.quantise("cast_kv_latent", Kernel::cast, pass, kv_t * kvr * 3);
  b.gemm(again ? "kv_b_proj_recompute" : "kv_b_proj", kProj, pass, kv_tokens, m.num_heads * (a.qk_nope_head_dim + a.v_head_dim), a.kv_lora_rank);
  b.memory("rope_k", Kernel::copy, kElt, pass, kv_t * rope * 4);
  b.memory("copy_k_nope->K(192)", Kernel::copy, kElt, pass, kv_t * heads * nope * 4);
  b.memory("copy_k_rope_bcast->K(192)", Kernel::broadcast_copy, kElt, pass, kv_t * rope * 2 * (heads + 1));
  b.memory("rope_q", Kernel::rope, kElt, pass, d.Td * heads * rope * 4);
}

void latent_attention_forward(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  const LatentAttention& a = *m.latent;
  const Dims d(m, s);
  const auto heads = static_cast<double>(m.num_heads), v = static_cast<double>(a.v_head_dim), qk = static_cast<double>(m.head_dim);
  b.memory("rmsnorm_attn(+residual)", Kernel::rmsnorm, kElt, Pass::forward, d.Td * d.Hd * 8);
  b.quantise("cast_x_1x128_fp8", Kernel::cast, Pass::forward, d.Td * d.Hd * 3, a.q_lora_rank > 0 ? 2 : 1);
  b.scale_transposes(Pass::forward, 5);
  if (a.q_lora_rank > 0) b.gemm("q_a_proj", kProj, Pass::forward, d.T, a.q_lora_rank, d.H);
  else b.gemm("q_proj", kProj, Pass::forward, d.T, m.num_heads * m.head_dim, d.H);
  b.gemm("kv_a_proj", kProj, Pass::forward, d.T, a.kv_lora_rank + a.qk_rope_head_dim, d.H);
  b.small("rope_arange", kElt, Pass::forward, 2);
  latent_up_projection(b, m, s, Pass::forward);
  b.attention("flash_attn_fwd(causal)", Kernel::attention_forward, Pass::forward, m, d.T, attention_forward_flops(m, s),
              d.Td * heads * (2 * qk + 2 * v) * 2);
  b.quantise("cast_attn_out_E5M6(special fmt,save)", Kernel::cast_e5m6, Pass::forward, d.Td * heads * v * 3.5);
  b.quantise("cast_attn_out_fp8", Kernel::cast, Pass::forward, d.Td * heads * v * 3);
  b.gemm("o_proj", kProj, Pass::forward, d.T, d.H, m.num_heads * a.v_head_dim);
}

void latent_attention_backward(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  const LatentAttention& a = *m.latent;
  const Dims d(m, s);
  const Pass grad = Pass::input_grad;
  const std::int64_t q_width = m.num_heads * m.head_dim, kv_width = m.num_heads * (a.qk_nope_head_dim + a.v_head_dim);
  const std::int64_t out_width = m.num_heads * a.v_head_dim, kv_a = a.kv_lora_rank + a.qk_rope_head_dim;
  const std::int64_t kv_tokens = d.T * s.cp;
  const auto heads = static_cast<double>(m.num_heads), v = static_cast<double>(a.v_head_dim), qk = static_cast<double>(m.head_dim);
  const auto nope = static_cast<double>(a.qk_nope_head_dim), rope = static_cast<double>(a.qk_rope_head_dim);
  const auto qr = static_cast<double>(a.q_lora_rank), kvr = static_cast<double>(a.kv_lora_rank), kv_t = static_cast<double>(kv_tokens);
  b.quantise("castback_attn_out_E5M6", Kernel::cast_back_e5m6, grad, d.Td * heads * v * 3.5);
  b.quantise("cast_dY_fp8", Kernel::cast, grad, d.Td * d.Hd * 3);
  b.quantise("transpose_w_o_proj", Kernel::weight_transpose, grad, d.Hd * heads * v * 2);
  b.scale_transposes(grad, 7);
  b.gemm("o_proj_dgrad", kProj, grad, d.T, out_width, d.H);
  b.quantise("cast_transpose_attn_out", Kernel::cast_transpose, grad, d.Td * heads * v * 3);
  b.quantise("cast_transpose_dY", Kernel::cast_transpose, grad, d.Td * d.Hd * 3);
  latent_up_projection(b, m, s, Pass::recompute);
  b.memory("flash_bwd_preprocess(dO.O, zero dQacc)", Kernel::attention_backward_edges, Category::attention, grad, d.Td * heads * (4 * v + 4 * qk));
  b.attention("flash_attn_bwd(causal)", Kernel::attention_backward, grad, m, d.T, attention_backward_flops(m, s),
              d.Td * heads * (2 * (2 * qk + 2 * v) + 2 * (qk + v)));
  b.memory("flash_bwd_postprocess_dQ", Kernel::attention_backward_edges, Category::attention, grad, d.Td * heads * qk * 6);
  b.memory("rope_q_bwd", Kernel::rope, kElt, grad, d.Td * heads * rope * 4);
  if (a.q_lora_rank > 0) {
    b.quantise("transpose_w_q_b", Kernel::weight_transpose, grad, static_cast<double>(q_width) * qr * 2);
    b.quantise("cast_dQ_fp8", Kernel::cast, grad, d.Td * static_cast<double>(q_width) * 3);
    b.gemm("q_b_dgrad", kProj, grad, d.T, a.q_lora_rank, q_width);
  } else {
    b.quantise("transpose_w_q", Kernel::weight_transpose, grad, static_cast<double>(q_width) * d.Hd * 2);
    b.quantise("cast_dQ_fp8", Kernel::cast, grad, d.Td * static_cast<double>(q_width) * 3);
    b.gemm("q_dgrad", kProj, grad, d.T, d.H, q_width);
  }
  b.memory("reduce_dk_rope_over_heads", Kernel::elementwise, kElt, grad, kv_t * heads * rope * 2);
  b.small("rope_k_bwd", kElt, grad, 1);
  b.memory("copy_dK_nope->dKV", Kernel::copy, kElt, grad, kv_t * heads * nope * 4);
  b.memory("copy_dV->dKV", Kernel::copy, kElt, grad, kv_t * heads * v * 4);
  b.quantise("transpose_w_kv_b", Kernel::weight_transpose, grad, static_cast<double>(kv_width) * kvr * 2);
  b.quantise("cast_dKV_fp8", Kernel::cast, grad, kv_t * static_cast<double>(kv_width) * 3);
  b.gemm("kv_b_dgrad", kProj, grad, kv_tokens, a.kv_lora_rank, kv_width);
  b.quantise("cast_transpose_dKV", Kernel::cast_transpose, grad, kv_t * static_cast<double>(kv_width) * 3);
  b.quantise("cast_transpose_kv_latent", Kernel::cast_transpose, grad, kv_t * kvr * 3);
  b.quantise("cast_transpose_dQ", Kernel::cast_transpose, grad, d.Td * static_cast<double>(q_width) * 3);
  if (a.q_lora_rank > 0) b.quantise("cast_transpose_q_latent", Kernel::cast_transpose, grad, d.Td * qr * 3);
  b.small("latent_rmsnorm_bwd(+finalize,accum)", kElt, grad, 6);
  b.small("slice_bwd_fill/copy/add", kElt, grad, 5);
  b.memory("rmsnorm_attn_recompute", Kernel::rmsnorm, kElt, Pass::recompute, d.Td * d.Hd * 6);
  b.quantise("cast_d_kv_a", Kernel::cast, grad, d.Td * static_cast<double>(kv_a) * 3);
  b.quantise("transpose_w_kv_a", Kernel::weight_transpose, grad, d.Hd * static_cast<double>(kv_a) * 2);
  b.gemm("kv_a_dgrad", kProj, grad, d.T, d.H, kv_a);
  b.quantise("cast_transpose_x(attn in)", Kernel::cast_transpose, grad, d.Td * d.Hd * 3, a.q_lora_rank > 0 ? 2 : 1);
  b.quantise("cast_transpose_d_kv_a", Kernel::cast_transpose, grad, d.Td * static_cast<double>(kv_a) * 3);
  if (a.q_lora_rank > 0) {
    b.quantise("cast_d_q_a", Kernel::cast, grad, d.Td * qr * 3);
    b.quantise("transpose_w_q_a", Kernel::weight_transpose, grad, d.Hd * qr * 2);
    b.gemm("q_a_dgrad", kProj, grad, d.T, d.H, a.q_lora_rank);
    b.quantise("cast_transpose_d_q_a", Kernel::cast_transpose, grad, d.Td * qr * 3);
  }
  b.memory("rmsnorm_attn_bwd", Kernel::rmsnorm_backward, kElt, grad, d.Td * d.Hd * 8);
}

void latent_attention_wgrad(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  const LatentAttention& a = *m.latent;
  const Dims d(m, s);
  b.wgrad("o_proj_wgrad", kProj, d.H, m.num_heads * a.v_head_dim, d.T);
  b.wgrad("kv_b_wgrad", kProj, m.num_heads * (a.qk_nope_head_dim + a.v_head_dim), a.kv_lora_rank, d.T * s.cp);
  if (a.q_lora_rank > 0) b.wgrad("q_b_wgrad", kProj, m.num_heads * m.head_dim, a.q_lora_rank, d.T);
  b.wgrad("kv_a_wgrad", kProj, a.kv_lora_rank + a.qk_rope_head_dim, d.H, d.T);
  if (a.q_lora_rank > 0) b.wgrad("q_a_wgrad", kProj, a.q_lora_rank, d.H, d.T);
  else b.wgrad("q_wgrad", kProj, m.num_heads * m.head_dim, d.H, d.T);
}

// --- grouped-query attention (MHA, GQA, MQA) -------------------------------------------------------------------------
// The trace has no such layer: the same recipe (norm, cast, project, rotate, attend, project) with fused QKV projections.

void grouped_attention_forward(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  const Dims d(m, s);
  const std::int64_t qkv = (m.num_heads + 2 * m.num_kv_heads) * m.head_dim, out = m.num_heads * m.head_dim;
  const auto outd = static_cast<double>(out), kvd = static_cast<double>(m.num_kv_heads * m.head_dim);
  b.memory("rmsnorm_attn(+residual)", Kernel::rmsnorm, kElt, Pass::forward, d.Td * d.Hd * 8);
  b.quantise("cast_x_1x128_fp8", Kernel::cast, Pass::forward, d.Td * d.Hd * 3);
  b.scale_transposes(Pass::forward, 2);
  b.gemm("qkv_proj", kProj, Pass::forward, d.T, qkv, d.H);
  if (m.qk_norm) b.memory("qk_norm", Kernel::rmsnorm, kElt, Pass::forward, d.Td * (outd + kvd) * 4);
  b.memory("rope_qk", Kernel::rope, kElt, Pass::forward, d.Td * (outd + kvd) * 4);
  b.attention("flash_attn_fwd(causal)", Kernel::attention_forward, Pass::forward, m, d.T, attention_forward_flops(m, s), d.Td * (2 * outd + 2 * kvd) * 2);
  b.quantise("cast_attn_out_fp8", Kernel::cast, Pass::forward, d.Td * outd * 3);
  b.gemm("o_proj", kProj, Pass::forward, d.T, d.H, out);
}

void grouped_attention_backward(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  const Dims d(m, s);
  const Pass grad = Pass::input_grad;
  const std::int64_t qkv = (m.num_heads + 2 * m.num_kv_heads) * m.head_dim, out = m.num_heads * m.head_dim;
  const auto outd = static_cast<double>(out), kvd = static_cast<double>(m.num_kv_heads * m.head_dim), qkvd = static_cast<double>(qkv);
  b.quantise("cast_dY_fp8", Kernel::cast, grad, d.Td * d.Hd * 3);
  b.quantise("transpose_w_o_proj", Kernel::weight_transpose, grad, d.Hd * outd * 2);
  b.scale_transposes(grad, 2);
  b.gemm("o_proj_dgrad", kProj, grad, d.T, out, d.H);
  b.quantise("cast_transpose_attn_out", Kernel::cast_transpose, grad, d.Td * outd * 3);
  b.quantise("cast_transpose_dY", Kernel::cast_transpose, grad, d.Td * d.Hd * 3);
  b.memory("flash_bwd_preprocess(dO.O, zero dQacc)", Kernel::attention_backward_edges, Category::attention, grad, d.Td * outd * 8);
  b.attention("flash_attn_bwd(causal)", Kernel::attention_backward, grad, m, d.T, attention_backward_flops(m, s), d.Td * (4 * outd + 4 * kvd) * 2);
  b.memory("flash_bwd_postprocess_dQ", Kernel::attention_backward_edges, Category::attention, grad, d.Td * outd * 6);
  b.memory("rope_qk_bwd", Kernel::rope, kElt, grad, d.Td * (outd + kvd) * 4);
  if (m.qk_norm) b.memory("qk_norm_bwd", Kernel::rmsnorm_backward, kElt, grad, d.Td * (outd + kvd) * 8);
  b.quantise("cast_dQKV_fp8", Kernel::cast, grad, d.Td * qkvd * 3);
  b.quantise("transpose_w_qkv", Kernel::weight_transpose, grad, d.Hd * qkvd * 2);
  b.gemm("qkv_dgrad", kProj, grad, d.T, d.H, qkv);
  b.quantise("cast_transpose_dQKV", Kernel::cast_transpose, grad, d.Td * qkvd * 3);
  b.memory("rmsnorm_attn_recompute", Kernel::rmsnorm, kElt, Pass::recompute, d.Td * d.Hd * 6);
  b.quantise("cast_transpose_x(attn in)", Kernel::cast_transpose, grad, d.Td * d.Hd * 3);
  b.memory("rmsnorm_attn_bwd", Kernel::rmsnorm_backward, kElt, grad, d.Td * d.Hd * 8);
}

void grouped_attention_wgrad(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  b.wgrad("o_proj_wgrad", kProj, m.hidden, m.num_heads * m.head_dim, s.tokens);
  b.wgrad("qkv_wgrad", kProj, (m.num_heads + 2 * m.num_kv_heads) * m.head_dim, m.hidden, s.tokens);
}

// --- feed-forward: a SwiGLU of any width over all tokens (dense layers, shared experts) ------------------------------------

void swiglu_forward(BlockBuilder& b, const Dims& d, std::int64_t width) {
  const auto w = static_cast<double>(width);
  b.scale_transposes(Pass::forward, 2);
  b.gemm("shared_gate_up", Category::ffn_gemm, Pass::forward, d.T, 2 * width, d.H);
  b.swiglu("shared_swiglu+cast_fp8", Pass::forward, d.Td * w);
  b.gemm("shared_down", Category::ffn_gemm, Pass::forward, d.T, d.H, width);
  b.quantise("cast_shared_gate_up_out_fp8(save)", Kernel::cast, Pass::forward, d.Td * w * 6);
}

void swiglu_backward(BlockBuilder& b, const Dims& d, std::int64_t width) {
  const auto w = static_cast<double>(width);
  const Pass grad = Pass::input_grad;
  b.quantise("castback_shared_gate_up_out", Kernel::cast_back, grad, d.Td * w * 6);
  b.quantise("transpose_w_shared_down", Kernel::weight_transpose, grad, d.Hd * w * 2);
  b.scale_transposes(grad, 2);
  b.gemm("shared_down_dgrad", Category::ffn_gemm, grad, d.T, width, d.H);
  b.quantise("recast_transpose_dY(fp8->1col)", Kernel::recast_transpose, grad, d.Td * d.Hd * 2);
  b.swiglu("shared_swiglu_recompute+cast_tr", Pass::recompute, d.Td * w);
  b.memory("shared_swiglu_bwd", Kernel::swiglu, kElt, grad, d.Td * w * 10);
}

void swiglu_input_backward(BlockBuilder& b, const Dims& d, std::int64_t width) {
  const auto w = static_cast<double>(width);
  const Pass grad = Pass::input_grad;
  b.quantise("castback_moe_in(fp8->bf16)", Kernel::cast_back, grad, d.Td * d.Hd * 3);
  b.quantise("transpose_w_shared_gate_up", Kernel::weight_transpose, grad, d.Hd * w * 4);
  b.quantise("cast_shared_d_gate_up", Kernel::cast, grad, d.Td * w * 6);
  b.gemm("shared_gate_up_dgrad", Category::ffn_gemm, grad, d.T, d.H, 2 * width);
  b.quantise("cast_transpose_shared_d_gate_up", Kernel::cast_transpose, grad, d.Td * w * 6);
  b.quantise("cast_transpose_moe_in", Kernel::cast_transpose, grad, d.Td * d.Hd * 3);
}

void ffn_input_norm_recompute(BlockBuilder& b, const Dims& d) {
  b.memory("rmsnorm_mlp_recompute", Kernel::rmsnorm, kElt, Pass::recompute, d.Td * d.Hd * 8);
  b.quantise("cast_moe_in_fp8(recompute)", Kernel::cast, Pass::recompute, d.Td * d.Hd * 3);
}

// Closes the attention block on the way forward and opens it on the way back: residual, norm before the feed-forward.
void ffn_entry_forward(BlockBuilder& b, const Dims& d) {
  b.memory("residual_scale_mul", Kernel::elementwise, kElt, Pass::forward, d.Td * d.Hd * 4);
  b.memory("rmsnorm_mlp(+residual)", Kernel::rmsnorm, kElt, Pass::forward, d.Td * d.Hd * 8);
}
void ffn_entry_backward(BlockBuilder& b, const Dims& d) {
  b.memory("grad_add", Kernel::elementwise, kElt, Pass::input_grad, d.Td * d.Hd * 6, 2);
  b.memory("rmsnorm_mlp_bwd", Kernel::rmsnorm_backward, kElt, Pass::input_grad, d.Td * d.Hd * 8);
  b.small("rmsnorm_bwd_finalize+accum", kElt, Pass::input_grad, 4);
  b.memory("residual_scale_mul_bwd", Kernel::elementwise, kElt, Pass::input_grad, d.Td * d.Hd * 4);
}

// --- mixture of experts ----------------------------------------------------------------------------------------------

void gate_forward(BlockBuilder& b, const ModelSpec& m, const Dims& d) {
  const auto e = static_cast<double>(m.moe->num_experts);
  b.gemm_bf16("gate_gemm(bf16->fp32)", Category::gate, Pass::forward, d.T, m.moe->num_experts, d.H, 4);
  b.small("gate_topk_small_kernels", Category::gate, Pass::forward, 35);
  b.memory("gate_topk_gather", Kernel::gate_gather, Category::gate, Pass::forward, d.Td * e * 4, 2);
  b.quantise("cast_moe_in_fp8", Kernel::cast, Pass::forward, d.Td * d.Hd * 3);
}
void gate_backward(BlockBuilder& b, const ModelSpec& m, const Dims& d) {
  b.small("gate_bwd_small_kernels", Category::gate, Pass::input_grad, 26);
  b.gemm_bf16("gate_dgrad", Category::gate, Pass::input_grad, d.T, d.H, m.moe->num_experts, 2);
  // Written once in FP32: one of the small kernels adds it to the accumulator.
  b.gemm_bf16("gate_wgrad", Category::gate, Pass::weight_grad, m.moe->num_experts, d.H, d.T, 4);
}

struct MoeDims : Dims {
  std::int64_t R, I, E;  // padded rows, expert width, local experts
  double Rd, Id, recv, row;  // row: bytes of one FP8 row with its scales (or BF16)
  MoeDims(const ModelSpec& m, const ChunkShape& s, const RankLoad& load)
      : Dims(m, s), R(load.padded_rows), I(m.moe->expert_intermediate), E(s.local_experts),
        Rd(static_cast<double>(R)), Id(static_cast<double>(I)), recv(static_cast<double>(load.tokens_received)),
        row(s.recipe == Recipe::fp8_block ? Hd + 4 * Hd / kScaleBlock : 2 * Hd) {}
};

void experts_forward(BlockBuilder& b, const MoeDims& d, double top_k) {
  b.memory("clean_and_count_expert", Kernel::expert_count, Category::permute, Pass::forward, d.recv * top_k * 8);
  b.memory("get_fused_mapping", Kernel::expert_map, Category::permute, Pass::forward, d.recv * top_k * 8);
  b.memory("expand_to_expert_order(permute,fp8)", Kernel::permute, Category::permute, Pass::forward, (d.recv + d.Rd) * d.row);
  b.quantise("transpose_w_gate_up(4 experts,fp8)", Kernel::weight_transpose, Pass::forward, static_cast<double>(d.E) * d.Hd * d.Id * 4);
  b.quantise("scale_copy_contig", Kernel::scale_copy, Pass::forward, d.Rd * (d.Hd + d.Id) / 2 / kScaleBlock * 8, 2);
  b.gemm("grouped_gate_up", Category::moe_gemm, Pass::forward, d.R, 2 * d.I, d.H, d.E);
  b.small("topk_weight_mul", Category::permute, Pass::forward, 1);
  b.swiglu("swiglu*w+cast_fp8(fused)", Pass::forward, d.Rd * d.Id);
  b.quantise("transpose_w_down(4 experts,fp8)", Kernel::weight_transpose, Pass::forward, static_cast<double>(d.E) * d.Hd * d.Id * 2);
  b.gemm("grouped_down", Category::moe_gemm, Pass::forward, d.R, d.H, d.I, d.E);
  b.memory("reduce_fused(unpermute)", Kernel::unpermute, Category::permute, Pass::forward, (d.Rd + d.recv) * d.Hd * 2);
  b.quantise("cast_gate_up_out_fp8(save act)", Kernel::cast, Pass::forward, d.Rd * d.Id * 6);
  b.small("fill_tensormaps", Category::permute, Pass::forward, 0.75);
}

void experts_backward(BlockBuilder& b, const MoeDims& d) {
  const Pass grad = Pass::input_grad;
  b.quantise("castback_gate_up_out(fp8->bf16)", Kernel::cast_back, grad, d.Rd * d.Id * 6);
  b.memory("expand_dY_to_expert_order(permute,fp8)", Kernel::permute, Category::permute, grad, (d.recv + d.Rd) * d.row);
  b.quantise("scale_copy_contig", Kernel::scale_copy, grad, d.Rd * (d.Hd + 2 * d.Id) / 2 / kScaleBlock * 8, 2);
  b.gemm("grouped_down_dgrad", Category::moe_gemm, grad, d.R, d.I, d.H, d.E);
  b.memory("swiglu_fwd+bwd(fused)", Kernel::swiglu, kElt, grad, d.Rd * d.Id * 12);
  b.memory("swiglu_topk_weight_bwd", Kernel::swiglu, kElt, grad, d.Rd * d.Id * 4);
  b.quantise("cast_transpose_act(wgrad)", Kernel::cast_transpose, grad, d.Rd * d.Id * 3);
  b.small("topk_weight_mul", Category::permute, grad, 1);
}
void experts_input_backward(BlockBuilder& b, const MoeDims& d) {
  const Pass grad = Pass::input_grad;
  b.quantise("cast_d_gate_up_fp8", Kernel::cast, grad, d.Rd * d.Id * 6);
  b.gemm("grouped_gate_up_dgrad", Category::moe_gemm, grad, d.R, d.H, 2 * d.I, d.E);
  b.memory("reduce_fused(unpermute dX)", Kernel::unpermute, Category::permute, grad, (d.Rd + d.recv) * d.Hd * 2);
  b.quantise("cast_transpose_d_gate_up(wgrad)", Kernel::cast_transpose, grad, d.Rd * d.Id * 6);
}
void experts_wgrad(BlockBuilder& b, const MoeDims& d) {
  b.quantise("recast_transpose_dY_expert(fp8->fp8)", Kernel::recast_transpose, Pass::weight_grad, d.Rd * d.Hd * 2);
  b.wgrad("expert_down_wgrad(x4,2 streams)", Category::moe_gemm, d.H, d.I, d.R, d.E);
  b.quantise("recast_transpose_X_expert(fp8->fp8)", Kernel::recast_transpose, Pass::weight_grad, d.Rd * d.Hd * 2);
  b.wgrad("expert_gate_up_wgrad(x4,2 streams)", Category::moe_gemm, 2 * d.I, d.H, d.R, d.E);
}

// --- embedding, projection of the MTP module, output head --------------------------------------------------------------

void head_forward(BlockBuilder& b, const ModelSpec& m, const Dims& d) {
  const auto v = static_cast<double>(m.vocab);
  b.memory("final_rmsnorm", Kernel::rmsnorm, Category::head, Pass::forward, d.Td * d.Hd * 8);
  b.gemm_bf16("lm_head", Category::head, Pass::forward, d.T, m.vocab, d.H, 4);
  // Cross-entropy over FP32 logits: one pass for maximum and sum (fused online), one read for the label.
  b.memory("cross_entropy", Kernel::elementwise, Category::head, Pass::forward, d.Td * v * 4);
}
void head_backward(BlockBuilder& b, const ModelSpec& m, const Dims& d) {
  const auto v = static_cast<double>(m.vocab);
  b.memory("cross_entropy_bwd", Kernel::elementwise, Category::head, Pass::input_grad, d.Td * v * (4 + 2));
  b.gemm_bf16("lm_head_dgrad", Category::head, Pass::input_grad, d.T, d.H, m.vocab, 2);
  b.memory("final_rmsnorm_bwd", Kernel::rmsnorm_backward, Category::head, Pass::input_grad, d.Td * d.Hd * 8);
}

}  // namespace

LayerOps build_layer_ops(const ModelSpec& m, LayerKind kind, const ChunkShape& s, const RankLoad& load) {
  LayerOps layer;
  auto block = [&](Block which) { return BlockBuilder(layer.blocks[static_cast<std::size_t>(which)], s.recipe); };
  BlockBuilder attention_f = block(Block::attention_f), ffn_f = block(Block::ffn_f), ffn_b = block(Block::ffn_b),
               ffn_w = block(Block::ffn_w), attention_b = block(Block::attention_b), attention_w = block(Block::attention_w);
  const Dims d(m, s);
  if (kind == LayerKind::embedding) {
    attention_f.memory("embedding", Kernel::copy, Category::head, Pass::forward, d.Td * d.Hd * 4);
    attention_w.memory("embedding_wgrad", Kernel::elementwise, Category::head, Pass::weight_grad, d.Td * d.Hd * 10);
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
    attention_b.gemm("mtp_projection_dgrad", Category::ffn_gemm, Pass::input_grad, d.T, 2 * d.H, d.H);
    attention_b.quantise("mtp_cast_transpose", Kernel::cast_transpose, Pass::input_grad, d.Td * d.Hd * 9);
    attention_b.memory("mtp_rmsnorm_bwd", Kernel::rmsnorm_backward, kElt, Pass::input_grad, d.Td * d.Hd * 8, 2);
    attention_w.wgrad("mtp_projection_wgrad", Category::ffn_gemm, d.H, 2 * d.H, d.T);
    return layer;
  }

  if (m.latent) latent_attention_forward(attention_f, m, s);
  else grouped_attention_forward(attention_f, m, s);
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
  if (m.latent) latent_attention_backward(attention_b, m, s);
  else grouped_attention_backward(attention_b, m, s);
  if (m.latent) latent_attention_wgrad(attention_w, m, s);
  else grouped_attention_wgrad(attention_w, m, s);
  return layer;
}

ExpertMessage expert_message(const ModelSpec& m, Recipe recipe) {
  const auto h = static_cast<double>(m.hidden), k = static_cast<double>(m.moe->top_k);
  // Hidden row (FP8 with a float scale per 128), source metadata 8 B, top-k indices and weights; DeepEP pads to 16 B.
  const double row = recipe == Recipe::fp8_block ? h + 4 * h / kScaleBlock : 2 * h;
  auto padded = [](double bytes) { return 16.0 * std::ceil(bytes / 16.0) * B; };
  return {padded(row + 8 + 8 * k), padded(2 * h + 8 + 4 * k)};
}

}  // namespace moesim
