// The pieces a layer's blocks are put together from (model/op_graph.cpp). Each appends to the block
// it is given. The model they see has one rank's widths (rank_share).
#pragma once

#include "model/op_graph/block_builder.hpp"

namespace moesim {

// attention_flops.cpp Scores and their values: causal, so half the context on average; the sequence
// is balanced over the context-parallel ranks.
double attention_forward_flops(const ModelSpec& model, const ChunkShape& shape);
// Five products: S = QK^T again, dV, dP, dQ, dK; three of width head_dim, two of the value width.
double attention_backward_flops(const ModelSpec& model, const ChunkShape& shape);

// ring_attention.cpp: what a rank does once a piece when keys and values travel around a ring;
// nothing under the other methods. A piece's output is added to the sum so far, rescaled (FP32 read
// and written, BF16 read), and in the backward pass dQ, dK and dV are (Liu et al. 2023, arXiv
// 2310.01889, algorithm 1).
void merge_ring_outputs(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s, Pass pass);
void merge_ring_gradients(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s);

// latent_attention.cpp: attention over a compressed key-value latent (MLA), labelled as in the
// reference trace.
void latent_attention_forward(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s);
void latent_attention_backward(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s);
void latent_attention_wgrad(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s);

// grouped_attention.cpp: MHA, GQA, MQA. The trace has no such layer: the same recipe (norm, cast,
// project, rotate, attend, project) with fused QKV projections.
void grouped_attention_forward(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s);
void grouped_attention_backward(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s);
void grouped_attention_wgrad(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s);

// feed_forward.cpp: a SwiGLU of any width over all tokens (dense layers, shared experts), and what
// stands between attention and feed-forward: residual, norm.
void swiglu_forward(BlockBuilder& b, const Dims& d, std::int64_t width);
void swiglu_backward(BlockBuilder& b, const Dims& d, std::int64_t width);
void swiglu_input_backward(BlockBuilder& b, const Dims& d, std::int64_t width);
void ffn_input_norm_recompute(BlockBuilder& b, const Dims& d);
void ffn_entry_forward(BlockBuilder& b, const Dims& d);
void ffn_entry_backward(BlockBuilder& b, const Dims& d);
// The attention norm's output of `tokens`, as an operand of weight gradients: from the recomputed
// BF16, or from the FP8 that was kept.
void transpose_norm_output(BlockBuilder& b, const Dims& d, double tokens, double launches);

// experts.cpp: gate and routed experts.
inline double dispatched_row(Recipe recipe) {  // bytes an element
  const RecipeCasts& casts = casts_of(recipe);
  return casts.quantises_before_dispatch ? casts.row : 2;
}
struct MoeDims : Dims {
  std::int64_t R, I, E;      // padded rows, expert width, local experts
  double Rd, Id, recv, row;  // row: bytes of one dispatched row, with its scales
  MoeDims(const ModelSpec& m, const ChunkShape& s, const RankLoad& load)
      : Dims(m, s),
        R(load.padded_rows),
        I(m.moe->expert_intermediate),
        E(s.local_experts),
        Rd(static_cast<double>(R)),
        Id(static_cast<double>(I)),
        recv(static_cast<double>(load.tokens_received)),
        row(Hd * dispatched_row(s.recipe)) {}
};
void gate_forward(BlockBuilder& b, const ModelSpec& m, const Dims& d);
void gate_backward(BlockBuilder& b, const ModelSpec& m, const Dims& d);
void experts_forward(BlockBuilder& b, const MoeDims& d, double top_k);
void experts_backward(BlockBuilder& b, const MoeDims& d);
void experts_input_backward(BlockBuilder& b, const MoeDims& d);
void experts_wgrad(BlockBuilder& b, const MoeDims& d);

// head.cpp: final norm, output head, loss.
void head_forward(BlockBuilder& b, const ModelSpec& m, const Dims& d);
void head_backward(BlockBuilder& b, const ModelSpec& m, const Dims& d);

}  // namespace moesim
