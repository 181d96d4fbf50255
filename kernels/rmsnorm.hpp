// Root-mean-square norm, with the residual stream added before it and the result cast to E4M3 after
// it where that is wanted: s = x + residual, out = s / sqrt(mean(s^2) + epsilon) * weight, in FP32.
// The norm is taken of the sum before it is rounded to BF16.
//
// One block a row, which stays in registers. Columns are a multiple of 8 and at most 16384;
// pointers are aligned to 16 bytes. Scales as in kernels/cast.hpp.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

struct RmsnormInput {
  const Bf16* x;         // [rows, columns]
  const Bf16* residual;  // [rows, columns]; nullptr: none
  const Bf16* weight;    // [columns]
  Bf16* sum;             // [rows, columns], x + residual; may be `residual`; nullptr: not kept
  std::int64_t rows, columns;
  float epsilon;
};

struct Rmsnorm {
  RmsnormInput in;
  Bf16* out;  // [rows, columns]
};
void rmsnorm(const Rmsnorm& p, Stream stream);

struct RmsnormCast {
  RmsnormInput in;
  E4m3* codes;    // [rows, columns]
  float* scales;  // [ceil(columns / 128)][scale_stride(rows)]
};
void rmsnorm_cast(const RmsnormCast& p, Stream stream);

// With g = d_out * weight and s' = s / sqrt(mean(s^2) + epsilon):
//
//   d_sum     (g - s' * mean(g * s')) / sqrt(mean(s^2) + epsilon) + d_residual
//   d_weight  += the sum over rows of d_out * s', in FP32; rows in the same order in every run
struct RmsnormBackward {
  const Bf16* sum;         // [rows, columns], what was normed
  const Bf16* weight;      // [columns]
  const Bf16* d_out;       // [rows, columns]
  const Bf16* d_residual;  // [rows, columns], the gradient that passed the norm by; nullptr: none
  Bf16* d_sum;             // [rows, columns]; may be d_residual
  float* d_weight;         // [columns], added to
  float* scratch;          // [kRmsnormParts, columns]
  std::int64_t rows, columns;
  float epsilon;
};
inline constexpr std::int64_t kRmsnormParts = 264;  // blocks, two an SM of an H100
void rmsnorm_backward(const RmsnormBackward& p, Stream stream);

}  // namespace moesim
