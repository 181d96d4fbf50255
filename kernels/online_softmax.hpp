// Softmax of scores that arrive tile by tile (Milakov and Gimelshein, arXiv:1805.02867), in base 2,
// on the accumulator of a wgmma: of its 64 rows a thread has parts of two, lane / 4 and eight
// below, in values 4 i, 4 i + 1 and 4 i + 2, 4 i + 3, and four neighbouring lanes have a row
// between them.
#pragma once

#include "kernels/cuda.hpp"
#include "kernels/ptx.hpp"

namespace moesim {

inline constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

struct OnlineSoftmax {
  float highest[2] = {-INFINITY, -INFINITY};  // score so far, before scaling
  float sum[2] = {0, 0};                      // of the exponentials; this lane's share
};

// Row and first column of values 4 i + 2 half and the one after it in a thread's part.
__device__ inline int fragment_row(int half) {
  return static_cast<int>(threadIdx.x % 128 / 32 * 16 + threadIdx.x % 32 / 4) + 8 * half;
}
__device__ inline int fragment_column(int i) {
  return 8 * i + 2 * static_cast<int>(threadIdx.x % 4);
}

template <class Fold>
__device__ __forceinline__ float over_row(float value, Fold fold) {
  value = fold(value, __shfl_xor_sync(~0u, value, 1));
  return fold(value, __shfl_xor_sync(~0u, value, 2));
}

// A row's sum, from the shares of its four lanes.
__device__ __forceinline__ void add_up(OnlineSoftmax& softmax) {
#pragma unroll
  for (float& sum : softmax.sum) sum = over_row(sum, [](float a, float b) { return a + b; });
}

// Scores become exponentials over the highest so far, which is what the earlier sum, and a weighted
// sum the caller keeps, have to shrink to. A row that has seen no key yet (-infinity) stays at sum
// 0.
template <int kValues>
__device__ __forceinline__ void add_scores(OnlineSoftmax& softmax,
                                           float (&scores)[kValues],
                                           float scale_log2,
                                           float (&shrink)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float highest = softmax.highest[half];
#pragma unroll
    for (int i = 2 * half; i < kValues; i += 4)
      highest = fmaxf(highest, fmaxf(scores[i], scores[i + 1]));
    highest = over_row(highest, [](float a, float b) { return fmaxf(a, b); });
    const float base = highest == -INFINITY ? 0 : highest * scale_log2;
    shrink[half] = exp2f_approx(softmax.highest[half] * scale_log2 - base);
    softmax.highest[half] = highest;
    float sum = softmax.sum[half] * shrink[half];
#pragma unroll
    for (int i = 2 * half; i < kValues; i += 4) {
      scores[i] = exp2f_approx(scores[i] * scale_log2 - base);
      scores[i + 1] = exp2f_approx(scores[i + 1] * scale_log2 - base);
      sum += scores[i] + scores[i + 1];
    }
    softmax.sum[half] = sum;
  }
}

template <int kValues>
__device__ __forceinline__ void scale_rows(float (&values)[kValues], const float (&by)[2]) {
#pragma unroll
  for (int i = 0; i < kValues; ++i) values[i] *= by[i / 2 % 2];
}

// Keys from `limit[half]` on, counted from the tile's first, are not seen.
template <int kValues>
__device__ __forceinline__ void mask_scores(float (&scores)[kValues], const int (&limit)[2]) {
#pragma unroll
  for (int i = 0; i < kValues; ++i)
    if (fragment_column(i / 4) + i % 2 >= limit[i / 2 % 2]) scores[i] = -INFINITY;
}

// Weights as the BF16 left operand of the next product: what a thread has of a 64 x 8 piece of an
// accumulator is what it has to have of the operand, two pieces to a step of 16.
template <int kValues>
__device__ __forceinline__ void pack_weights(const float (&weights)[kValues],
                                             std::uint32_t (&packed)[kValues / 8][4]) {
#pragma unroll
  for (int i = 0; i < kValues; i += 2)
    packed[i / 8][i / 2 % 4] = pack_bf16(weights[i], weights[i + 1]);
}

// Once `sum` is the whole row's: `inverse` is what to multiply the weighted sums by, 0 where no key
// was seen, and `lse` the logarithm, base 2, of the sum of the exponentials.
__device__ __forceinline__ void finish_softmax(const OnlineSoftmax& softmax,
                                               float scale_log2,
                                               float (&inverse)[2],
                                               float (&lse)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float sum = softmax.sum[half];
    const bool seen = sum > 0;
    inverse[half] = seen ? 1 / sum : 0;
    lse[half] = seen ? softmax.highest[half] * scale_log2 + log2f(sum) : -INFINITY;
  }
}

}  // namespace moesim
