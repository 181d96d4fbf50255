// Arithmetic on a model alone: parameters per part, FLOPs per token, KV bytes per token. Exact
// integers where exact is possible; no hardware, no efficiency.
//
// Sources. Parameters: the layer definitions of the DeepSeek-V2 (arXiv 2405.04434, section 2.1) and
// V3 (2412.19437, section 2.1) reports and the families' published modelling code. FLOP
// conventions: "Insights into DeepSeek-V3" (ISCA'25, arXiv 2505.09343, Tables 2 and 4), which
// counts matrix products of the forward pass once and of the backward pass twice, the output head
// but not the embedding lookup, and attention either over the causal half or over the full square.
#pragma once

#include <cstdint>

#include "model/model_spec.hpp"
#include "model/units.hpp"

namespace moesim {

struct ParameterCounts {
  std::int64_t embedding = 0;
  std::int64_t head = 0;  // 0 when tied to the embedding
  std::int64_t attention = 0;
  std::int64_t dense_ffn = 0;
  std::int64_t routed_experts = 0;
  std::int64_t shared_experts = 0;
  std::int64_t gate = 0;  // gate weights and, where the router has one, the selection bias
  std::int64_t norms = 0;
  std::int64_t mtp = 0;  // multi-token prediction modules; not part of `total`, as the V3 report
                         // counts (671B, not 685B)

  std::int64_t total() const;
};

// Parameters of one layer's parts, shared by every count and by the memory model.
std::int64_t attention_parameters(const ModelSpec& model);      // one layer, norms excluded
std::int64_t expert_parameters(const ModelSpec& model);         // one routed expert
std::int64_t shared_expert_parameters(const ModelSpec& model);  // all shared experts of one layer
std::int64_t gate_parameters(const ModelSpec& model);           // one layer
std::int64_t dense_ffn_parameters(const ModelSpec& model);      // one dense layer
std::int64_t layer_norm_parameters(const ModelSpec& model);     // all norms of one layer
std::int64_t mtp_projection_parameters(
    const ModelSpec& model);  // the 2h -> h projection and its two norms

ParameterCounts count_parameters(const ModelSpec& model);
// Parameters one token touches: everything but the routed experts it does not visit. Embedding and
// head included, as the "37B" of the V3 report and the "21B" of V2 do.
std::int64_t active_parameters(const ModelSpec& model);

// How attention scores are counted: over the keys a token may see (causal), or over the full square
// (non-causal).
enum class AttentionConvention { causal, non_causal };

// Per token of a sequence of `seq_len` tokens.
struct FlopsPerToken {
  Flop forward;
  Flop backward;  // twice the forward pass: one product for the input gradient, one for the weight
                  // gradient
  Flop training() const { return forward + backward; }
};
FlopsPerToken flops_per_token(const ModelSpec& model,
                              std::int64_t seq_len,
                              AttentionConvention convention);
// Forward FLOPs of the MTP modules (a layer, the projection and one more pass of the head each);
// not in the above.
Flop mtp_forward_flops_per_token(const ModelSpec& model,
                                 std::int64_t seq_len,
                                 AttentionConvention convention);
// Extra forward work of recomputing the latent up-projections in the backward pass, as V3 trains
// (section 3.2.3).
Flop recompute_flops_per_token(const ModelSpec& model);

// Elements cached per token and layer: 2 x kv_heads x head_dim, or kv_lora_rank + qk_rope_head_dim
// for latent attention.
std::int64_t kv_elements_per_token_layer(const ModelSpec& model);
// Bytes cached per token of a long context over all layers; layers with an attention window stop
// growing at the window and are counted in full here (the figure for a context shorter than the
// window).
Bytes kv_bytes_per_token(const ModelSpec& model, double bytes_per_element);
// The number of grouped-query groups whose cache is as large as this model's (V2, section 2.1.4,
// "2.25 groups").
double equivalent_gqa_groups(const ModelSpec& model);

}  // namespace moesim
