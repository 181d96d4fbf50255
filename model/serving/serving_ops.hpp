// The kernels of one transformer layer in inference, for one GPU of an attention rank, in pieces
// that grow with different things: tokens, cached tokens, (query, key) pairs, requests, rows of
// experts. A step's time is put together from them (sim/serving/step_time).
//
// What inference does otherwise than training (model/op_graph): nothing is saved for a backward
// pass, no weight is transposed, the residual is added inside the norm, both latent
// down-projections are one product (DeepGEMM's own tables have its width, 2112), experts are chosen
// by one kernel (SGLang's moe_fused_gate, vLLM's grouped_topk; the training trace has 37 for it),
// and the head sees only the last token of a sequence.
//
// Latent attention (MLA; DeepSeek-V2, arXiv 2405.04434, section 2.1) has two forms:
//   expanded  keys and values of every head are rebuilt from the latents, cached ones included, and
//             attention is the usual one with heads of 192 / 128. Prompts: the rebuilding is shared
//             by many queries. SGLang's forward_normal, vLLM's compute_prefill.
//   absorbed  the up-projection moves to the query (q_nope W_UK) and to the output (o W_UV), and
//             all heads attend to the latents themselves, 576 wide, of which the first 512 are the
//             values. Decoding: 3.4 times the FLOPs a pair, but all heads share one read of the
//             cache. FlashMLA, FlashAttention-3.
// Other attention is the same kernel for prompts, and in decoding a read of the cache, for which no
// profile has a kernel yet: it is costed at the roofline and says so.
//
// Tensor parallelism: heads, dense feed-forward and head over tp; a latent cache and both
// down-projections are on every rank. Where experts lie over all GPUs of the unit the tp ranks of
// an attention rank share out its tokens for gate, shared expert and routed experts.
//
// Left out: attention windows in decoding (their reads are counted in full), paged gathers beyond
// the bytes, dynamic quantisation of the cache, chunked expansion of long prefixes (same work).
#pragma once

#include <cstdint>

#include "model/cost_model.hpp"
#include "model/model_spec.hpp"
#include "model/op.hpp"
#include "model/serving/serving_spec.hpp"

namespace moesim {

// How the rows of experts are laid out: packed one expert after the other, each padded to a tile
// (the normal exchange, DeepGEMM's contiguous kernel); in a slab of fixed size an expert with a
// count beside it (the low-latency exchange, its masked kernel); or left where they are and found
// by index inside the products (experts on every rank, vLLM's fused_moe).
enum class ExpertLayout : std::uint8_t { contiguous, masked, indexed };

class ServingOps {
 public:
  // What is cached of a token and layer takes `kv_bytes_per_element` each.
  ServingOps(const ModelSpec& model, const UnitPlan& plan, double kv_bytes_per_element);

  // Of one layer. `tokens`: all of the attention rank in this step.
  OpList attention_input(std::int64_t tokens) const;  // norm, projections, rotation, write to cache
  OpList attention_output(std::int64_t tokens) const;  // projection, norm
  OpList absorb(std::int64_t tokens) const;            // both products, decoding tokens only
  OpList expand(std::int64_t context_tokens) const;    // keys and values of prompts, with prefix
  Op prefill_core(const AttentionShape& per_request) const;  // batch, seq, prefix
  Op decode_core(std::int64_t requests, std::int64_t context, std::int64_t query_tokens) const;
  // Of tokens that one GPU puts through the gate: all, or 1/tp of them.
  OpList gate(std::int64_t tokens) const;
  OpList shared_expert(std::int64_t tokens) const;
  OpList routed_experts(const RankLoad& load, std::int64_t slots, ExpertLayout layout) const;
  OpList dense_feed_forward(std::int64_t tokens) const;

  OpList embedding(std::int64_t tokens) const;
  OpList head(std::int64_t rows) const;  // norm, logits, sampling of one token a row
  OpList mtp_input(std::int64_t tokens) const;

  // What sending and receiving puts on the SMs when the wire itself needs none (low latency): rows
  // are cast and copied into the send buffer, or out of the receive buffer, between a pass over
  // indices and the flags of all peers (as much as any kernel with next to nothing to do: the
  // copy's own fit is on large ones and has no fixed part). `rows`: received.
  OpList send_rows(std::int64_t tokens) const;
  OpList receive_rows(std::int64_t rows) const;
  OpList return_rows(std::int64_t rows) const;
  OpList reduce_rows(std::int64_t tokens) const;

  // Tokens that one of the tp GPUs of an attention rank puts through gate and experts.
  std::int64_t expert_tokens(std::int64_t tokens) const;
  bool experts_over_unit() const { return ep_ > 1; }
  const ModelSpec& share() const { return share_; }  // one GPU's widths
  const ModelSpec& model() const { return model_; }

 private:
  ChunkShape chunk(std::int64_t tokens) const;

  ModelSpec model_, share_;
  std::int64_t tp_, ep_;
  Recipe recipe_;
  double kv_bytes_;
};

// The cost of decode attention over a cache that is not latent: its FLOPs and bytes at the
// datasheet's rates.
Cost roofline_cost(const Op& op, const GpuSpec& gpu);

}  // namespace moesim
