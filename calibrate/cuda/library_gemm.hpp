// What a library's FP8 GEMM is given for a call of gemm_fp8, in the layouts that cuBLASLt asks for
// (cuBLAS documentation, "128-element 1D and 128x128 2D block scaling"):
//   - rows of activations in a multiple of 4: a call of fewer has rows of other data behind it,
//     whose products are computed and never looked at, as its users pad it too;
//   - their 1x128 scales with the rows contiguous, [ceil(k / 128)][rows], without a gap;
//   - 128x128 scales of weights with k contiguous, [ceil(n / 128)][ceil(k / 128) up to 4].
// Apart from the library's own calls, so that tests can read the operands without it.
#pragma once

#include "calibrate/cuda/gpu_call.hpp"

namespace moesim {

struct LibraryGemmFp8 {
  std::int64_t rows, n, k;  // rows: m up to a multiple of 4
  const E4m3* a;            // [rows, k]
  const float* a_scale;     // [ceil(k / 128)][rows]
  const E4m3* b;            // [n, k]
  const float* b_scale;     // [ceil(n / 128)][b_scale_ld]
  std::int64_t b_scale_ld;  // ceil(k / 128) up to a multiple of 4, the rest zero
  Bf16* out;                // [rows, n]; the first m are the call's
};
// Of a weight gradient: both operands with 1x128 scales, rows contiguous and without a gap, so m
// and n are multiples of 4; FP32, added to what is there.
struct LibraryWgrad {
  std::int64_t m, n, k;
  const E4m3 *a, *b;               // [m, k], [n, k]
  const float *a_scale, *b_scale;  // [ceil(k / 128)][m], [ceil(k / 128)][n]
  float* c;                        // [m, n]
};
LibraryWgrad library_wgrad_operands(const Call& call, GpuCall& gpu);

// Operands made and the output named; the launch is the caller's.
LibraryGemmFp8 library_gemm_fp8_operands(const Call& call, GpuCall& gpu);

}  // namespace moesim
