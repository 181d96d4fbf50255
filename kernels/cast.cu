#include "kernels/cast.hpp"
#include "kernels/vectors.hpp"

namespace moesim {
namespace {

constexpr int kThreads = RowTile::kWarps * 32;

__global__ void __launch_bounds__(kThreads) cast_rows_kernel(const CastRows p) {
  const RowTile tile = RowTile::mine();
  if (tile.block * kQuantBlock >= p.columns) return;
  const bool inside = tile.column < p.columns;
  uint4 raw[RowTile::kSteps];
#pragma unroll
  for (int i = 0; i < RowTile::kSteps; ++i)
    raw[i] = inside && tile.row(i) < p.rows
                 ? load_words<uint4>(p.x + tile.row(i) * p.columns + tile.column)
                 : make_uint4(0, 0, 0, 0);
#pragma unroll
  for (int i = 0; i < RowTile::kSteps; ++i) {
    const std::int64_t row = tile.row(i);
    const QuantisedPart part = quantise_part(unpack_bf16x8(raw[i]));
    if (row >= p.rows) continue;
    if (inside) store_words(p.codes + row * p.columns + tile.column, part.codes);
    if (tile.leader) p.scales[tile.block * scale_stride(p.rows) + row] = part.scale;
  }
}

__global__ void cast_rows_naive_kernel(const CastRows p) {
  const std::int64_t block = blockIdx.y, row = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x,
                     first = block * kQuantBlock;
  if (row >= p.rows) return;
  const std::int64_t end = p.columns < first + kQuantBlock ? p.columns : first + kQuantBlock;
  float amax = 0;
  for (std::int64_t c = first; c < end; ++c)
    amax = fmaxf(amax, fabsf(to_float(p.x[row * p.columns + c])));
  const QuantScale scale = quant_scale(amax);
  for (std::int64_t c = first; c < end; ++c)
    p.codes[row * p.columns + c] =
        to_e4m3(__fmul_rn(to_float(p.x[row * p.columns + c]), scale.to_code));
  p.scales[block * scale_stride(p.rows) + row] = scale.scale;
}

__global__ void __launch_bounds__(kThreads) cast_back_kernel(const CastBack p) {
  const RowTile tile = RowTile::mine();
  if (tile.column >= p.columns) return;
  uint2 raw[RowTile::kSteps];
  float scale[RowTile::kSteps];
#pragma unroll
  for (int i = 0; i < RowTile::kSteps; ++i) {
    if (tile.row(i) >= p.rows) continue;
    raw[i] = load_words<uint2>(p.codes + tile.row(i) * p.columns + tile.column);
    scale[i] = p.scales[tile.block * scale_stride(p.rows) + tile.row(i)];
  }
#pragma unroll
  for (int i = 0; i < RowTile::kSteps; ++i) {
    if (tile.row(i) >= p.rows) continue;
    Floats8 v = unpack_e4m3x8(raw[i]);
#pragma unroll
    for (float& x : v.at) x *= scale[i];
    store_words(p.x + tile.row(i) * p.columns + tile.column, pack_bf16x8(v));
  }
}

// A tile of 128 x 128 a block; a thread holds 8 columns of every 16th row.
__global__ void __launch_bounds__(kThreads) cast_weight_kernel(const CastWeight p) {
  constexpr int kSteps = 8, kStepRows = kThreads / 16;
  const std::int64_t first = std::int64_t{blockIdx.y} * kQuantBlock + threadIdx.x / 16,
                     column = std::int64_t{blockIdx.x} * kQuantBlock + threadIdx.x % 16 * 8;
  __shared__ float warp_amax[RowTile::kWarps];
  uint4 raw[kSteps];
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const std::int64_t row = first + i * kStepRows;
    raw[i] = column < p.columns && row < p.rows
                 ? load_words<uint4>(p.weight + row * p.columns + column)
                 : make_uint4(0, 0, 0, 0);
  }
  float amax = 0;
#pragma unroll
  for (int i = 0; i < kSteps; ++i) amax = fmaxf(amax, largest_magnitude(unpack_bf16x8(raw[i])));
#pragma unroll
  for (int other = 16; other > 0; other /= 2) amax = fmaxf(amax, __shfl_xor_sync(~0u, amax, other));
  if (threadIdx.x % 32 == 0) warp_amax[threadIdx.x / 32] = amax;
  __syncthreads();
#pragma unroll
  for (int warp = 0; warp < RowTile::kWarps; ++warp) amax = fmaxf(amax, warp_amax[warp]);
  const QuantScale scale = quant_scale(amax);
  if (threadIdx.x == 0) p.scales[std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x] = scale.scale;
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const std::int64_t row = first + i * kStepRows;
    if (column < p.columns && row < p.rows)
      store_words(p.codes + row * p.columns + column,
                  encode_e4m3x8(unpack_bf16x8(raw[i]), scale.to_code));
  }
}

}  // namespace

void cast_rows(const CastRows& p, Stream stream) {
  refuse_unless(p.columns % 8 == 0, "cast_rows: columns are no multiple of 8");
  if (p.rows == 0) return;
  launch("cast_rows",
         stream,
         cast_rows_kernel,
         RowTile::grid(p.rows, p.columns),
         dim3(kThreads),
         0,
         p);
}

void cast_rows_naive(const CastRows& p, Stream stream) {
  if (p.rows == 0) return;
  const dim3 grid(static_cast<unsigned>((p.rows + kThreads - 1) / kThreads),
                  static_cast<unsigned>((p.columns + kQuantBlock - 1) / kQuantBlock));
  launch("cast_rows_naive", stream, cast_rows_naive_kernel, grid, dim3(kThreads), 0, p);
}

void cast_back(const CastBack& p, Stream stream) {
  refuse_unless(p.columns % 8 == 0, "cast_back: columns are no multiple of 8");
  if (p.rows == 0) return;
  launch("cast_back",
         stream,
         cast_back_kernel,
         RowTile::grid(p.rows, p.columns),
         dim3(kThreads),
         0,
         p);
}

void cast_weight(const CastWeight& p, Stream stream) {
  refuse_unless(p.columns % 8 == 0, "cast_weight: columns are no multiple of 8");
  if (p.rows == 0) return;
  const dim3 grid(static_cast<unsigned>((p.columns + kQuantBlock - 1) / kQuantBlock),
                  static_cast<unsigned>((p.rows + kQuantBlock - 1) / kQuantBlock));
  launch("cast_weight", stream, cast_weight_kernel, grid, dim3(kThreads), 0, p);
}

}  // namespace moesim
