// Casts between BF16 and E4M3 and the transposes that FP8 training needs, all bound by HBM.
//
// Codes are value * (448 / amax), scales amax / 448, both quotients in FP32, amax no less than
// 1e-4: bit by bit what calibrate/reference_fp8.hpp computes. Scales of rows of 1x128 are stored
// scale-major, so that a GEMM loads the scales of neighbouring rows as one line:
//
//   float scales[ceil(columns / 128)][scale_stride(rows)]     the padding is left as it was
//
// Scales of 128x128 blocks of weights are row-major. Pointers are aligned to 16 bytes. What a
// kernel cannot take (columns that are no whole number of vectors) is refused with
// std::invalid_argument.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

// Floats between the scales of one block of 128 columns and those of the next.
__host__ __device__ constexpr std::int64_t scale_stride(std::int64_t rows) {
  return (rows + 3) / 4 * 4;
}

struct CastRows {
  const Bf16* x;               // [rows, columns]
  E4m3* codes;                 // [rows, columns]
  float* scales;               // [ceil(columns / 128)][scale_stride(rows)]
  std::int64_t rows, columns;  // columns: a multiple of 8
};
void cast_rows(const CastRows& p, Stream stream);
void cast_rows_naive(const CastRows& p, Stream stream);  // a thread a block of 128, any columns

// The way back: code * scale, rounded to BF16.
struct CastBack {
  const E4m3* codes;           // [rows, columns]
  const float* scales;         // [ceil(columns / 128)][scale_stride(rows)]
  Bf16* x;                     // [rows, columns]
  std::int64_t rows, columns;  // columns: a multiple of 8
};
void cast_back(const CastBack& p, Stream stream);

// Transposed, with a scale for every 128 tokens of a channel: an operand of the weight gradient.
struct CastTranspose {
  const Bf16* x;  // [tokens, channels]
  E4m3* codes;    // [channels, stride]; where the stride is a multiple of 16, columns from `tokens`
                  // to the next multiple of 16 are zero
  float* scales;  // [ceil(tokens / 128)][scale_stride(channels)]
  std::int64_t tokens, channels;  // channels: a multiple of 2
  std::int64_t stride;            // of codes, >= tokens; fast where a multiple of 16
};
void cast_transpose(const CastTranspose& p, Stream stream);

// The same from E4M3 with a scale for every 128 channels of a token. Values are code * scale in
// FP32; they are not rounded to BF16 on the way.
struct RecastTranspose {
  const E4m3* from;               // [tokens, channels]
  const float* from_scales;       // [ceil(channels / 128)][scale_stride(tokens)]
  E4m3* codes;                    // as in CastTranspose
  float* scales;                  // [ceil(tokens / 128)][scale_stride(channels)]
  std::int64_t tokens, channels;  // channels: a multiple of 4
  std::int64_t stride;            // of codes, >= tokens; fast where a multiple of 16
};
void recast_transpose(const RecastTranspose& p, Stream stream);

// Weights quantised in blocks of 128x128.
struct CastWeight {
  const Bf16* weight;          // [rows, columns]
  E4m3* codes;                 // [rows, columns]
  float* scales;               // [ceil(rows / 128), ceil(columns / 128)]
  std::int64_t rows, columns;  // columns: a multiple of 8
};
void cast_weight(const CastWeight& p, Stream stream);

// Codes of weights, transposed; their scales are a matrix of floats (transpose_scales).
struct WeightTranspose {
  const E4m3* from;            // [rows, columns]
  E4m3* to;                    // [columns, stride]
  std::int64_t rows, columns;  // columns: a multiple of 4
  std::int64_t stride;         // of `to`, >= rows; fast where a multiple of 16
};
void weight_transpose(const WeightTranspose& p, Stream stream);

struct TransposeScales {
  const float* from;  // [rows, columns]
  float* to;          // [columns, rows]
  std::int64_t rows, columns;
};
void transpose_scales(const TransposeScales& p, Stream stream);

}  // namespace moesim
