// The operation graph of one training chunk: for a layer and a load, the kernels of each of its six
// blocks in launch order.
//
// Source: every labelled operation of the public DeepSeek-V3 training trace
// (deepseek-ai/profile-data, one DualPipe pair of four MoE layers, EP64, 4096 tokens), whose
// shapes, FLOPs and bytes tests/reference compares one by one. The recipe is the V3 report's
// section 3.3: GEMM operands in E4M3 with 1x128 (activations) and 128x128 (weights) scales, weight
// gradients accumulated in FP32, attention, gate, norms and head in BF16/FP32, the attention output
// saved in E5M6, the SwiGLU input saved in FP8; RMSNorm and the latent up-projections recomputed in
// the backward pass (section 3.2.3).
//
// Tensor parallelism (Shoeybi et al. 2019, arXiv 1909.08053): a rank has 1/tp of the heads, of the
// feed-forward width and of the vocabulary (the fullest rank's share where it does not divide). A
// latent attention's down-projections are not cut. With sequence parallelism (Korthikanti et al.
// 2022, arXiv 2205.05198) everything between the cut products, the gate and dispatch included, is
// done on 1/tp of the tokens, and so are the down-projections (Megatron-Core's
// multi_latent_attention.py: the latents are gathered, not the hidden rows). What the ranks
// exchange for it is in model/block_collectives.
//
// Left out: attention windows, dropout, biases' element-wise adds, FP8 attention.
#pragma once

#include <array>
#include <cstdint>

#include "model/model_spec.hpp"
#include "model/op.hpp"

namespace moesim {

// Precision of the matrix products; what is cast where is a table (op_graph/recipe.hpp).
enum class Recipe { fp8_block, bf16, fp8_tensor, mxfp8 };
inline constexpr std::array<const char*, 4> kRecipeNames = {
    "fp8_block", "bf16", "fp8_tensor", "mxfp8"};
inline const char* recipe_name(Recipe r) { return kRecipeNames[static_cast<std::size_t>(r)]; }
inline bool is_fp8(Recipe r) { return r != Recipe::bf16; }

// How attention sees the whole of a sequence that is cut over context-parallel ranks: every rank
// gathers all keys and values; they travel around a ring, a piece at a time beside attention (Liu
// et al. 2023); or ranks swap tokens for heads before attention and back after it (Jacobs et al.
// 2023).
enum class ContextMethod { all_gather, ring, ulysses };
inline constexpr std::array<const char*, 3> kContextMethodNames = {"all_gather", "ring", "ulysses"};

// What the backward pass computes again instead of keeping it. DeepSeek-V3 recomputes norms and
// latent up-projections (section 3.2.3) and the SwiGLU from its saved input.
struct Recompute {
  bool norm = true, latent_up_projection = true, swiglu = true, core_attention = false;
  bool whole_layer = false;  // full: only a layer's input is kept
  friend bool operator==(const Recompute&, const Recompute&) = default;
};

// What a pipeline stage is made of. A multi-token prediction module is mtp_projection, moe, head.
enum class LayerKind : std::uint8_t { embedding, dense, moe, mtp_projection, head };
inline constexpr std::size_t kNumLayerKinds = 5;

// What one rank has to do in one MoE layer for one microbatch: an outcome of routing
// (model/routing.hpp).
struct RankLoad {
  std::int64_t rows = 0;  // (token, expert) pairs computed here
  std::int64_t padded_rows =
      0;  // rows with each expert's count rounded up to the GEMM's row tile (128)
  std::int64_t tokens_received = 0;  // distinct tokens received, the own ones included
  friend auto operator<=>(const RankLoad&, const RankLoad&) = default;
};

struct ChunkShape {
  std::int64_t tokens = 0;  // tokens of the microbatch in this rank's matrix products
  std::int64_t context =
      0;  // keys the last of them sees: the sequence length, over all context-parallel ranks
  std::int64_t cp = 1;             // context-parallel ranks the sequence is split over
  std::int64_t local_experts = 0;  // experts placed on this rank
  Recipe recipe = Recipe::fp8_block;
  std::int64_t sequences = 1;  // of the microbatch
  std::int64_t tp = 1;         // tensor-parallel ranks that share these tokens
  bool sequence_parallel = false;
  std::int64_t expert_tp = 1;  // neighbours that share an expert's width
  ContextMethod cp_method = ContextMethod::all_gather;
  Recompute recompute = {};

  // Tokens this rank holds between the products, and dispatches.
  std::int64_t own_tokens() const { return sequence_parallel ? tokens / tp : tokens; }
  // Tokens whose keys and values this rank makes from their latents, or holds.
  std::int64_t kv_tokens() const {
    return cp_method == ContextMethod::all_gather ? tokens * cp : tokens;
  }
};

// The model with the widths that one rank computes: heads, feed-forward and vocabulary over tp,
// routed experts over expert_tp.
ModelSpec rank_share(const ModelSpec& model, const ChunkShape& shape);

struct LayerOps {
  std::array<OpList, kNumBlocks> blocks;
};

// The kernels of one layer. `load` matters to MoE layers only; with expert_tp its rows are those of
// all neighbours together.
LayerOps build_layer_ops(const ModelSpec& model,
                         LayerKind kind,
                         const ChunkShape& shape,
                         const RankLoad& load);

// Per-token payload of expert-parallel traffic (DeepEP's message layout, counted in the trace's
// README): the dispatched row with its metadata, and its scales where the recipe quantises rows
// before they leave; the combined row.
struct ExpertMessage {
  Bytes dispatch, combine;
};
ExpertMessage expert_message(const ModelSpec& model, Recipe recipe);

}  // namespace moesim
