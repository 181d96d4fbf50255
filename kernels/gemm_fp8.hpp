// E4M3 GEMM as DeepSeek-V3 trains and serves with it (report, section 3.3.2): activations with a
// scale for every 1 x 128 values, weights with one for every 128 x 128, BF16 out. Every 128 of k
// are summed by the tensor cores from zero and promoted, times both scales, to FP32 registers.
//
// Three ways to say which rows meet which weights; one kernel:
//   gemm_fp8          all rows, one set of weights: forward and input gradient;
//   grouped_gemm_fp8  rows sorted by expert, one expert after the other without padding;
//   masked_gemm_fp8   a fixed room of rows for each expert, only the first ones used.
//
// Tiles follow fewest_waves_plan (model/kernel_plan.hpp), so the cost model knows what runs.
// Layouts: matrices row-major and dense; scales of activations scale-major, float[ceil(k /
// 128)][ld] with ld a multiple of 4 and no less than the rows; scales of weights row-major,
// float[ceil(n / 128)][ceil(k / 128)]. k and n are multiples of 16. Pointers are to device memory,
// 16-byte aligned. A call that breaks this is refused with std::invalid_argument.
//
// Left out: clusters with multicast, split-K, TMA stores.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"
#include "model/kernel_plan.hpp"

namespace moesim {

// out[m, n] = a[m, k] b[n, k]^T
struct GemmFp8 {
  std::int64_t m = 0, n = 0, k = 0;
  const E4m3* a = nullptr;
  const float* a_scale = nullptr;  // [ceil(k / 128)][a_scale_ld]
  std::int64_t a_scale_ld = 0;
  const E4m3* b = nullptr;
  const float* b_scale = nullptr;
  Bf16* out = nullptr;
  std::int64_t sms = 0;  // the most SMs it may use
};
void gemm_fp8(const GemmFp8& call, Stream stream);

// Expert g has counts[g] rows, after those of the experts before it; their sum is at most m.
struct GroupedGemmFp8 {
  std::int64_t groups = 0, m = 0, n = 0, k = 0;
  const E4m3* a = nullptr;         // [m, k]
  const float* a_scale = nullptr;  // [ceil(k / 128)][a_scale_ld]
  std::int64_t a_scale_ld = 0;
  const E4m3* b = nullptr;               // [groups, n, k]
  const float* b_scale = nullptr;        // [groups][ceil(n / 128)][ceil(k / 128)]
  const std::int32_t* counts = nullptr;  // [groups], in device memory: known to the kernel only
  Bf16* out = nullptr;                   // [m, n]; rows beyond the counts are left alone
  // What the tiles are chosen for; empty: even. The result does not depend on it.
  std::span<const std::int64_t> expected_counts = {};
  std::int64_t sms = 0;
};
void grouped_gemm_fp8(const GroupedGemmFp8& call, Stream stream);

// Expert g has rows [0, counts[g]) of its `max_rows`.
struct MaskedGemmFp8 {
  std::int64_t groups = 0, max_rows = 0, n = 0, k = 0;
  const E4m3* a = nullptr;         // [groups, max_rows, k]
  const float* a_scale = nullptr;  // [groups][ceil(k / 128)][a_scale_ld]
  std::int64_t a_scale_ld = 0;
  const E4m3* b = nullptr;               // [groups, n, k]
  const float* b_scale = nullptr;        // [groups][ceil(n / 128)][ceil(k / 128)]
  const std::int32_t* counts = nullptr;  // [groups], in device memory
  Bf16* out = nullptr;                   // [groups, max_rows, n]; unused rows are left alone
  std::int64_t expected_rows = 0;        // per expert, for the choice of tiles; 0: max_rows
  std::int64_t sms = 0;
};
void masked_gemm_fp8(const MaskedGemmFp8& call, Stream stream);

// Plain versions to compare with at sizes too large for a CPU: one thread an element of `out`.
void gemm_fp8_naive(const GemmFp8& call, Stream stream);
void grouped_gemm_fp8_naive(const GroupedGemmFp8& call, Stream stream);

}  // namespace moesim
