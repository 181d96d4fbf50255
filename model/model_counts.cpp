#include "model/model_counts.hpp"

#include <algorithm>

namespace moesim {
namespace {

// Weights that take part in matrix products for every token of one layer's attention.
std::int64_t attention_matrix_parameters(const ModelSpec& m) {
  if (m.latent) {
    const LatentAttention& a = *m.latent;
    const std::int64_t q_width = m.num_heads * m.head_dim;
    const std::int64_t q =
        a.q_lora_rank > 0 ? m.hidden * a.q_lora_rank + a.q_lora_rank * q_width : m.hidden * q_width;
    const std::int64_t kv_down = m.hidden * (a.kv_lora_rank + a.qk_rope_head_dim);
    const std::int64_t kv_up = a.kv_lora_rank * m.num_heads * (a.qk_nope_head_dim + a.v_head_dim);
    return q + kv_down + kv_up + m.num_heads * a.v_head_dim * m.hidden;
  }
  return m.hidden * m.head_dim * (2 * m.num_heads + 2 * m.num_kv_heads);
}

// Mean number of keys a token attends to: the full square, or the causal half, clipped to the
// window.
double mean_context(std::int64_t seq_len, std::int64_t window, AttentionConvention convention) {
  const auto t = static_cast<double>(seq_len);
  const double w = window > 0 ? std::min<double>(static_cast<double>(window), t) : t;
  // Causal convention of the papers: seq_len / 2 without a window (the diagonal's half token is
  // dropped).
  return convention == AttentionConvention::non_causal ? w : w - w * w / (2 * t);
}

double attention_flops(const ModelSpec& m,
                       std::int64_t seq_len,
                       std::int64_t window,
                       AttentionConvention convention) {
  return 2.0 * mean_context(seq_len, window, convention) *
         static_cast<double>(m.num_heads * (m.head_dim + m.value_head_dim()));
}

double moe_matrix_parameters(const ModelSpec& m) {  // touched by one token in one MoE layer
  return static_cast<double>(
      3 * m.hidden * (m.moe->top_k * m.moe->expert_intermediate + m.moe->shared_intermediate) +
      m.hidden * m.moe->num_experts);
}

}  // namespace

std::int64_t ParameterCounts::total() const {
  return embedding + head + attention + dense_ffn + routed_experts + shared_experts + gate + norms;
}

std::int64_t attention_parameters(const ModelSpec& m) {
  std::int64_t n = attention_matrix_parameters(m);
  if (m.qkv_bias) n += (m.num_heads + 2 * m.num_kv_heads) * m.head_dim;
  if (m.output_bias) n += m.hidden;
  if (m.attention_sinks) n += m.num_heads;
  return n;
}

std::int64_t expert_parameters(const ModelSpec& m) {
  if (!m.moe) return 0;
  std::int64_t n = 3 * m.hidden * m.moe->expert_intermediate;
  if (m.expert_bias) n += 2 * m.moe->expert_intermediate + m.hidden;
  return n;
}

std::int64_t shared_expert_parameters(const ModelSpec& m) {
  return m.moe ? 3 * m.hidden * m.moe->shared_intermediate : 0;
}

std::int64_t gate_parameters(const ModelSpec& m) {
  if (!m.moe) return 0;
  // deepseek_v3 and kimi_k2 routers store a selection bias per expert; gpt-oss stores a gate bias.
  const bool bias = m.expert_bias || m.model_type == "deepseek_v3" || m.model_type == "kimi_k2";
  return m.hidden * m.moe->num_experts + (bias ? m.moe->num_experts : 0);
}

std::int64_t dense_ffn_parameters(const ModelSpec& m) {
  return 3 * m.hidden * m.dense_intermediate;
}

std::int64_t layer_norm_parameters(const ModelSpec& m) {
  std::int64_t n = 2 * m.hidden;
  if (m.latent) n += m.latent->q_lora_rank + m.latent->kv_lora_rank;
  if (m.qk_norm) n += 2 * m.head_dim;
  return n;
}

std::int64_t mtp_projection_parameters(const ModelSpec& m) {
  return 2 * m.hidden * m.hidden + 2 * m.hidden;
}

ParameterCounts count_parameters(const ModelSpec& m) {
  ParameterCounts c;
  const std::int64_t moe_layers = m.num_moe_layers(), dense_layers = m.num_layers - moe_layers;
  c.embedding = m.vocab * m.hidden;
  c.head = m.tied_embeddings ? 0 : m.vocab * m.hidden;
  c.attention = m.num_layers * attention_parameters(m);
  c.dense_ffn = dense_layers * dense_ffn_parameters(m);
  c.routed_experts = m.moe ? moe_layers * m.moe->num_experts * expert_parameters(m) : 0;
  c.shared_experts = moe_layers * shared_expert_parameters(m);
  c.gate = moe_layers * gate_parameters(m);
  c.norms = m.num_layers * layer_norm_parameters(m) + m.hidden;
  // An MTP module shares embedding and head with the main model (V3, section 2.2); its own are one
  // layer, the projection and the norm before the head.
  const std::int64_t ffn = m.moe ? m.moe->num_experts * expert_parameters(m) +
                                       shared_expert_parameters(m) + gate_parameters(m)
                                 : dense_ffn_parameters(m);
  c.mtp = m.num_mtp_modules * (attention_parameters(m) + ffn + layer_norm_parameters(m) +
                               mtp_projection_parameters(m) + m.hidden);
  return c;
}

std::int64_t active_parameters(const ModelSpec& m) {
  const ParameterCounts c = count_parameters(m);
  if (!m.moe) return c.total();
  return c.total() -
         m.num_moe_layers() * (m.moe->num_experts - m.moe->top_k) * expert_parameters(m);
}

FlopsPerToken flops_per_token(const ModelSpec& m,
                              std::int64_t seq_len,
                              AttentionConvention convention) {
  double forward = 2.0 * static_cast<double>(m.vocab * m.hidden);  // output head
  for (std::size_t i = 0; i < m.layer_is_moe.size(); ++i) {
    const double ffn =
        m.layer_is_moe[i] ? moe_matrix_parameters(m) : static_cast<double>(dense_ffn_parameters(m));
    forward += 2.0 * (static_cast<double>(attention_matrix_parameters(m)) + ffn) +
               attention_flops(m, seq_len, m.attention_window[i], convention);
  }
  return {forward * FLOP, 2.0 * forward * FLOP};
}

Flop mtp_forward_flops_per_token(const ModelSpec& m,
                                 std::int64_t seq_len,
                                 AttentionConvention convention) {
  const double ffn =
      m.moe ? moe_matrix_parameters(m) : static_cast<double>(dense_ffn_parameters(m));
  const double one = 2.0 * (static_cast<double>(attention_matrix_parameters(m)) + ffn +
                            static_cast<double>(2 * m.hidden * m.hidden + m.vocab * m.hidden)) +
                     attention_flops(m, seq_len, 0, convention);
  return static_cast<double>(m.num_mtp_modules) * one * FLOP;
}

Flop recompute_flops_per_token(const ModelSpec& m) {
  if (!m.latent) return 0 * FLOP;
  const LatentAttention& a = *m.latent;
  const std::int64_t q_up = a.q_lora_rank > 0 ? a.q_lora_rank * m.num_heads * m.head_dim : 0;
  const std::int64_t kv_up = a.kv_lora_rank * m.num_heads * (a.qk_nope_head_dim + a.v_head_dim);
  return 2.0 * static_cast<double>(m.num_layers * (q_up + kv_up)) * FLOP;
}

std::int64_t kv_elements_per_token_layer(const ModelSpec& m) {
  return m.latent ? m.latent->kv_lora_rank + m.latent->qk_rope_head_dim
                  : 2 * m.num_kv_heads * m.head_dim;
}

Bytes kv_bytes_per_token(const ModelSpec& m, double bytes_per_element) {
  return static_cast<double>(m.num_layers * kv_elements_per_token_layer(m)) * bytes_per_element * B;
}

double equivalent_gqa_groups(const ModelSpec& m) {
  const std::int64_t dim = m.latent ? m.latent->qk_nope_head_dim : m.head_dim;
  return static_cast<double>(kv_elements_per_token_layer(m)) / static_cast<double>(2 * dim);
}

}  // namespace moesim
