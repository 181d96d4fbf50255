#include "kernels/cast.hpp"
#include "kernels/rmsnorm.hpp"
#include "kernels/row_block.hpp"

namespace moesim {
namespace {

// Leaves the normed row in `values`, zeros beyond its columns.
template <int kVectors>
__device__ void norm_row(const RmsnormInput& p, std::int64_t row, Floats8 (&values)[kVectors]) {
  __shared__ Floats2 parts[kRowWarps];
  const std::int64_t start = row * p.columns;
  uint4 x[kVectors], residual[kVectors];
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const bool there = column_of(i) < p.columns;
    x[i] = there ? load_words<uint4>(p.x + start + column_of(i)) : make_uint4(0, 0, 0, 0);
    residual[i] = there && p.residual != nullptr
                      ? load_words<uint4>(p.residual + start + column_of(i))
                      : make_uint4(0, 0, 0, 0);
  }
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const Floats8 a = unpack_bf16x8(x[i]), b = unpack_bf16x8(residual[i]);
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      values[i].at[j] = a.at[j] + b.at[j];
      squares += values[i].at[j] * values[i].at[j];
    }
    if (p.sum != nullptr && column_of(i) < p.columns)
      store_words(p.sum + start + column_of(i), pack_bf16x8(values[i]));
  }
  const float scale =
      rsqrtf(block_sums({squares, 0}, parts).lo / static_cast<float>(p.columns) + p.epsilon);
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    if (column_of(i) >= p.columns) continue;
    const Floats8 weight = unpack_bf16x8(load_words<uint4>(p.weight + column_of(i)));
#pragma unroll
    for (int j = 0; j < 8; ++j) values[i].at[j] *= scale * weight.at[j];
  }
}

template <int kVectors>
__global__ void __launch_bounds__(kRowThreads) rmsnorm_kernel(const Rmsnorm p) {
  const std::int64_t row = blockIdx.x;
  Floats8 values[kVectors];
  norm_row(p.in, row, values);
#pragma unroll
  for (int i = 0; i < kVectors; ++i)
    if (column_of(i) < p.in.columns)
      store_words(p.out + row * p.in.columns + column_of(i), pack_bf16x8(values[i]));
}

// Blocks are of whole warps, so 16 neighbouring lanes hold 128 columns that share a scale.
template <int kVectors>
__global__ void __launch_bounds__(kRowThreads) rmsnorm_cast_kernel(const RmsnormCast p) {
  const std::int64_t row = blockIdx.x;
  Floats8 values[kVectors];
  norm_row(p.in, row, values);
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const std::int64_t column = column_of(i);
    const QuantisedPart part = quantise_part(values[i]);
    if (column >= p.in.columns) continue;
    store_words(p.codes + row * p.in.columns + column, part.codes);
    if (column % kQuantBlock == 0)
      p.scales[column / kQuantBlock * scale_stride(p.in.rows) + row] = part.scale;
  }
}

}  // namespace

void rmsnorm(const Rmsnorm& p, Stream stream) {
  launch_row_kernel<Rmsnorm>("rmsnorm",
                             stream,
                             {{1, rmsnorm_kernel<1>},
                              {2, rmsnorm_kernel<2>},
                              {4, rmsnorm_kernel<4>},
                              {8, rmsnorm_kernel<8>}},
                             p.in.rows,
                             p.in.columns,
                             p);
}

void rmsnorm_cast(const RmsnormCast& p, Stream stream) {
  launch_row_kernel<RmsnormCast>("rmsnorm_cast",
                                 stream,
                                 {{1, rmsnorm_cast_kernel<1>},
                                  {2, rmsnorm_cast_kernel<2>},
                                  {4, rmsnorm_cast_kernel<4>},
                                  {8, rmsnorm_cast_kernel<8>}},
                                 p.in.rows,
                                 p.in.columns,
                                 p);
}

}  // namespace moesim
