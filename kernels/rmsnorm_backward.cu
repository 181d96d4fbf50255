// A block takes every kRmsnormParts'th row and keeps its part of the weight's gradient in
// registers; a second kernel adds the parts up.
#include <algorithm>

#include "kernels/rmsnorm.hpp"
#include "kernels/row_block.hpp"

namespace moesim {
namespace {

template <int kVectors>
struct BackwardRow {
  uint4 sum[kVectors], d_out[kVectors], d_residual[kVectors];

  __device__ BackwardRow(const RmsnormBackward& p, std::int64_t row) {
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      const bool there = column_of(i) < p.columns;
      const std::int64_t at = row * p.columns + column_of(i);
      sum[i] = there ? load_words<uint4>(p.sum + at) : make_uint4(0, 0, 0, 0);
      d_out[i] = there ? load_words<uint4>(p.d_out + at) : make_uint4(0, 0, 0, 0);
      d_residual[i] = there && p.d_residual != nullptr ? load_words<uint4>(p.d_residual + at)
                                                       : make_uint4(0, 0, 0, 0);
    }
  }
};

__device__ Floats8 weights_at(const RmsnormBackward& p, std::int64_t column) {
  return unpack_bf16x8(column < p.columns ? load_words<uint4>(p.weight + column)
                                          : make_uint4(0, 0, 0, 0));
}

template <int kVectors>
__global__ void __launch_bounds__(kRowThreads, kVectors > 4 ? 1 : 2)
    rmsnorm_backward_kernel(const RmsnormBackward p) {
  __shared__ Floats2 parts[kRowWarps];
  const float count = static_cast<float>(p.columns);
  Floats8 d_weight[kVectors] = {};
  for (std::int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    const BackwardRow<kVectors> in(p, row);
    Floats2 partial = {0, 0};  // of s^2, of g * s
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      const Floats8 s = unpack_bf16x8(in.sum[i]), d = unpack_bf16x8(in.d_out[i]),
                    weight = weights_at(p, column_of(i));
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        partial.lo += s.at[j] * s.at[j];
        partial.hi += d.at[j] * weight.at[j] * s.at[j];
      }
    }
    const Floats2 sums = block_sums(partial, parts);
    __syncthreads();  // all have read `parts`
    const float scale = rsqrtf(sums.lo / count + p.epsilon),
                slope = sums.hi / count * scale * scale;
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      const Floats8 s = unpack_bf16x8(in.sum[i]), d = unpack_bf16x8(in.d_out[i]),
                    residual = unpack_bf16x8(in.d_residual[i]),
                    weight = weights_at(p, column_of(i));
      Floats8 d_sum;
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        d_sum.at[j] = scale * (d.at[j] * weight.at[j] - slope * s.at[j]) + residual.at[j];
        d_weight[i].at[j] += d.at[j] * s.at[j] * scale;
      }
      if (column_of(i) < p.columns)
        store_words(p.d_sum + row * p.columns + column_of(i), pack_bf16x8(d_sum));
    }
  }
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    if (column_of(i) >= p.columns) continue;
    float* const to = p.scratch + blockIdx.x * p.columns + column_of(i);
    const float(&v)[8] = d_weight[i].at;
    store_words(to, make_float4(v[0], v[1], v[2], v[3]));
    store_words(to + 4, make_float4(v[4], v[5], v[6], v[7]));
  }
}

// A thread a column.
__global__ void add_parts_kernel(const RmsnormBackward p, std::int64_t num_parts) {
  const std::int64_t column = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (column >= p.columns) return;
  float sum = 0;
#pragma unroll 8
  for (std::int64_t part = 0; part < num_parts; ++part) sum += p.scratch[part * p.columns + column];
  p.d_weight[column] += sum;
}

}  // namespace

void rmsnorm_backward(const RmsnormBackward& p, Stream stream) {
  const std::int64_t parts = std::min(p.rows, kRmsnormParts);
  launch_row_kernel<RmsnormBackward>("rmsnorm_backward",
                                     stream,
                                     {{1, rmsnorm_backward_kernel<1>},
                                      {2, rmsnorm_backward_kernel<2>},
                                      {4, rmsnorm_backward_kernel<4>},
                                      {8, rmsnorm_backward_kernel<8>}},
                                     parts,
                                     p.columns,
                                     p);
  if (parts == 0 || p.columns == 0) return;
  constexpr std::int64_t kThreads = 64;  // 7168 columns are 112 blocks
  launch("rmsnorm_weight_gradient",
         stream,
         add_parts_kernel,
         dim3(static_cast<unsigned>((p.columns + kThreads - 1) / kThreads)),
         dim3(kThreads),
         0,
         p,
         parts);
}

}  // namespace moesim
