// One piece of GPU work: what it is called, what kind of kernel runs it, how much there is to do.
// No time here; a time needs a profile (model/cost_model.hpp).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "model/kernel_model.hpp"
#include "model/units.hpp"

namespace moesim {

// Kernels the profile knows the speed of. The names are the keys of the profile file.
enum class Kernel : std::uint8_t {
  gemm_fp8,        // 1x128 activations times 128x128 weights, BF16 out; forward and input gradient
  gemm_fp8_wgrad,  // 1x128 times 1x128, accumulates into FP32
  gemm_bf16,
  grouped_gemm_fp8,  // of several experts at once; costed as gemm_fp8 where a profile has no own
  attention_forward,
  attention_backward,
  attention_decode,  // absorbed latent attention, one query token
  cast,
  cast_back,
  cast_transpose,
  recast_transpose,
  weight_transpose,
  cast_e5m6,
  cast_back_e5m6,
  scale_transpose,
  scale_copy,
  rmsnorm,
  rmsnorm_backward,
  elementwise,
  rope,
  copy,
  broadcast_copy,
  swiglu,
  swiglu_backward,  // costed as swiglu where a profile has no own
  adam,             // of optimizer steps; costed as elementwise where a profile has no own
  attention_backward_edges,
  permute,
  unpermute,
  expert_count,
  expert_map,
  gate_gather,
  small,
};
inline constexpr std::size_t kNumKernels = static_cast<std::size_t>(Kernel::small) + 1;
inline constexpr std::array<std::string_view, kNumKernels> kKernelNames = {
    "gemm_fp8",
    "gemm_fp8_wgrad",
    "gemm_bf16",
    "grouped_gemm_fp8",
    "attention_forward",
    "attention_backward",
    "attention_decode",
    "cast",
    "cast_back",
    "cast_transpose",
    "recast_transpose",
    "weight_transpose",
    "cast_e5m6",
    "cast_back_e5m6",
    "scale_transpose",
    "scale_copy",
    "rmsnorm",
    "rmsnorm_backward",
    "elementwise",
    "rope",
    "copy",
    "broadcast_copy",
    "swiglu",
    "swiglu_backward",
    "adam",
    "attention_backward_edges",
    "permute",
    "unpermute",
    "expert_count",
    "expert_map",
    "gate_gather",
    "small"};

// What a kernel is costed as where a profile does not know it; itself: nothing is like it.
constexpr Kernel stand_in(Kernel kernel) {
  switch (kernel) {
    case Kernel::grouped_gemm_fp8: return Kernel::gemm_fp8;
    case Kernel::swiglu_backward: return Kernel::swiglu;
    case Kernel::adam: return Kernel::elementwise;
    default: return kernel;
  }
}

// What the hardware did with the time; the rows of the report's second breakdown. Each rank's
// seconds over all of these sum to the step.
enum class Category : std::uint8_t {
  moe_gemm,
  ffn_gemm,
  attention_gemm,
  attention,
  quantise,
  elementwise,
  permute,
  gate,
  head,
  launch_gap,
  exposed_comm,
  peer_wait,
  bubble,
  optimizer,
};
inline constexpr std::size_t kNumCategories = static_cast<std::size_t>(Category::optimizer) + 1;
struct CategoryName {
  std::string_view key, title;
};
inline constexpr std::array<CategoryName, kNumCategories> kCategoryNames = {
    {{"moe_gemm_s", "MoE expert GEMM"},
     {"ffn_gemm_s", "dense and shared FFN GEMM"},
     {"attention_gemm_s", "MLA / QKVO GEMM"},
     {"attention_s", "attention core"},
     {"quantise_s", "quantise, cast, transpose"},
     {"elementwise_s", "norms and element-wise"},
     {"permute_s", "permute"},
     {"gate_s", "gate"},
     {"head_s", "embedding, head, loss"},
     {"launch_gap_s", "launch gaps"},
     {"exposed_comm_s", "exposed communication"},
     {"peer_wait_s", "waiting for peers"},
     {"bubble_s", "pipeline bubble"},
     {"optimizer_s", "optimizer and gradients"}}};

enum class Pass : std::uint8_t { forward, input_grad, weight_grad, recompute };

struct GemmShape {
  std::int64_t m = 0, n = 0, k = 0;  // out[m, n] = a[m, k] * b[k, n]
  std::int64_t groups =
      1;  // m rows (or, for a weight gradient, k) are split over this many experts
};

struct Op {
  std::string_view name;  // as labelled in the reference trace
  Kernel kernel = Kernel::small;
  Category category = Category::elementwise;
  Pass pass = Pass::forward;
  double launches =
      1;  // kernels of this shape, one after the other; below 1 for a kernel that runs now and then
  GemmShape gemm;        // GEMM kernels
  Flop flops;            // of all launches together
  Bytes bytes;           // minimal HBM traffic of one launch
  double out_bytes = 0;  // BF16 GEMMs: moved per result element (2, 4, or 8 to accumulate); 0: as
                         // the profile's kernel does
  AttentionShape attention;          // attention kernels
  std::vector<std::int64_t> counts;  // grouped GEMM: rows per expert; empty: even
};

using OpList = std::vector<Op>;

// The blocks of a layer between synchronisation points, in the order of the reference trace.
// Forward: attention_f [dispatch] ffn_f [combine]. Backward: [combine's backward] ffn_b, ffn_w
// [dispatch's backward] attention_b, attention_w. Where a whole layer is recomputed, attention_r
// [dispatch] ffn_r come before its backward blocks; else these two are empty.
enum class Block : std::uint8_t {
  attention_f,
  ffn_f,
  ffn_b,
  ffn_w,
  attention_b,
  attention_w,
  attention_r,
  ffn_r
};
inline constexpr std::size_t kNumBlocks = 8;
inline constexpr std::array<std::string_view, kNumBlocks> kBlockNames = {
    "attn(F)", "mlp(F)", "mlp(B)", "mlp(W)", "attn(B)", "attn(W)", "attn(R)", "mlp(R)"};

}  // namespace moesim
