// A block a row: what kernels that need a whole row before they can write any of it have in common.
// A thread holds vectors of 8 columns, one every blockDim.x, in registers; a block is of whole
// warps.
#pragma once

#include <cstdint>

#include "kernels/vectors.hpp"

namespace moesim {

inline constexpr int kRowThreads = 256, kRowWarps = kRowThreads / 32;

__device__ inline std::int64_t column_of(int vector) {
  return (std::int64_t{vector} * blockDim.x + threadIdx.x) * 8;
}

// The sums over a block, in every thread. One pair of `parts` a call, or a barrier before the next.
__device__ inline Floats2 block_sums(Floats2 value, Floats2 (&parts)[kRowWarps]) {
#pragma unroll
  for (int other = 16; other > 0; other /= 2) {
    value.lo += __shfl_xor_sync(~0u, value.lo, other);
    value.hi += __shfl_xor_sync(~0u, value.hi, other);
  }
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  Floats2 sums = {0, 0};
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) {
    sums.lo += parts[warp].lo;
    sums.hi += parts[warp].hi;
  }
  return sums;
}

// A kernel for rows of at most `vectors` vectors a thread.
template <class... Parameters>
struct RowKernel {
  int vectors;
  void (*kernel)(Parameters...);
};

// Launches the first whose threads can hold a row, with as few threads as that takes.
template <class... Parameters>
void launch_row_kernel(const char* name,
                       Stream stream,
                       const RowKernel<Parameters...> (&kernels)[4],
                       std::int64_t blocks,
                       std::int64_t columns,
                       const Parameters&... parameters) {
  refuse_unless(columns % 8 == 0 && columns <= 8 * 8 * kRowThreads,
                "rows: columns are no multiple of 8 or more than 16384");
  if (blocks == 0 || columns == 0) return;
  for (const auto& [vectors, kernel] : kernels) {
    if (columns > std::int64_t{vectors} * 8 * kRowThreads) continue;
    const std::int64_t warp_columns = std::int64_t{vectors} * 8 * 32,
                       warps = (columns + warp_columns - 1) / warp_columns;
    launch(name,
           stream,
           kernel,
           dim3(static_cast<unsigned>(blocks)),
           dim3(static_cast<unsigned>(warps * 32)),
           0,
           parameters...);
    return;
  }
}

}  // namespace moesim
