// Weight gradient: c[m, n] += a[m, k] b[n, k]^T with E4M3 operands that both have a scale for every
// 1 x 128 values along k (the tokens), summed and accumulated in FP32 (DeepSeek-V3 report, section
// 3.3.2). The main loop and the choice of tiles are those of kernels/gemm_fp8.hpp; so are the
// layouts. k is a multiple of 16; m and n are any.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

struct GemmFp8Wgrad {
  std::int64_t m = 0, n = 0, k = 0;
  const E4m3* a = nullptr;         // [m, k]
  const float* a_scale = nullptr;  // [ceil(k / 128)][a_scale_ld]
  std::int64_t a_scale_ld = 0;
  const E4m3* b = nullptr;         // [n, k]
  const float* b_scale = nullptr;  // [ceil(k / 128)][b_scale_ld]
  std::int64_t b_scale_ld = 0;
  float* c = nullptr;    // [m, n]
  std::int64_t sms = 0;  // the most SMs it may use
};
void gemm_fp8_wgrad(const GemmFp8Wgrad& call, Stream stream);
void gemm_fp8_wgrad_naive(const GemmFp8Wgrad& call, Stream stream);  // one thread an element of c

}  // namespace moesim
