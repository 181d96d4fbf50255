// The kernel behind kernels/gemm_fp8.hpp and kernels/gemm_fp8_wgrad.hpp, for their .cu files only.
//
// A block stays on its SM and takes every gridDim-th tile. One thread copies ahead, through a ring
// of stages in shared memory: 128 of k of a and b, and their scales. One or two warpgroups of 128
// threads multiply; two of them drift apart, so that one's promotion hides under the other's
// products. Sums of 128 of k start from zero and are promoted to FP32 registers, because the tensor
// cores keep about 14 bits of a sum of E4M3 products (DeepSeek-V3 report, section 3.3.2).
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/cuda.hpp"
#include "kernels/gemm_fp8_tiles.hpp"
#include "kernels/number_formats.hpp"
#include "kernels/ptx.hpp"
#include "kernels/wgmma.hpp"
#include "model/kernel_plan.hpp"

namespace moesim {

template <int kRows, int kColumns, bool kWgrad>
__device__ void gemm_copy_ahead(const GemmFp8Arguments& args,
                                const GemmRing<kRows, kColumns, kWgrad>& ring) {
  using Layout = GemmTileLayout<kRows, kColumns, kWgrad>;
  prefetch_tensor_map(args.a);
  prefetch_tensor_map(args.b);
  prefetch_tensor_map(args.a_scale);
  if (kWgrad) prefetch_tensor_map(args.b_scale);
  RingPosition<Layout::kStages> at;
  GemmTileWalk<kRows, kColumns> walk(args);
  GemmTileAt tile;
  for (int i = static_cast<int>(blockIdx.x); walk.find(i, tile); i += static_cast<int>(gridDim.x))
    for (int block = 0; block < args.k_blocks; ++block, at.advance()) {
      barrier_wait(ring.empty(at.stage), at.parity ^ 1u);
      std::byte* to = ring.stage(at.stage);
      std::uint64_t* full = ring.full(at.stage);
      barrier_arrive_expecting(full, Layout::kCopiedBytes);
      const int k = block * kGemmBlockK;
      tensor_load(args.a, to, full, k, tile.row);
      tensor_load(args.b, to + Layout::kBAt, full, k, tile.group * args.n + tile.column);
      tensor_load(args.a_scale, to + Layout::kAScaleAt, full, tile.scale_x, tile.scale_y + block);
      if (kWgrad) tensor_load(args.b_scale, to + Layout::kBScaleAt, full, tile.column, block);
    }
}

// sums[64, columns] of 128 of k.
template <int kColumns>
__device__ __forceinline__ void gemm_multiply(float (&sums)[kColumns / 2],
                                              const std::byte* a,
                                              const std::byte* b) {
  constexpr unsigned kStep = 32;  // of k, an instruction
  const std::uint64_t a_at = matrix_descriptor(a), b_at = matrix_descriptor(b);
  wgmma_keep(sums);
  wgmma_fence();
#pragma unroll
  for (unsigned k = 0; k < kGemmBlockK; k += kStep)
    wgmma_e4m3<kColumns>(sums, descriptor_at(a_at, k), descriptor_at(b_at, k), k > 0);
  wgmma_commit();
  wgmma_wait<0>();
  wgmma_keep(sums);
}

// Word j of the lane l of four neighbours becomes word l of lane j.
__device__ __forceinline__ void transpose_in_quad(std::uint32_t (&words)[4]) {
#pragma unroll
  for (int bit = 1; bit <= 2; bit *= 2) {
    const bool upper = (threadIdx.x & static_cast<unsigned>(bit)) != 0;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if ((j & bit) != 0) continue;
      const std::uint32_t sent = upper ? words[j] : words[j | bit];
      const std::uint32_t received = __shfl_xor_sync(~0u, sent, bit);
      words[j] = upper ? received : words[j];
      words[j | bit] = upper ? words[j | bit] : received;
    }
  }
}

// The 128 x 128 scales of b that a tile meets: one, or of a tile that ends in another block than it
// begins in, two, the second from its eight columns number `straddle` on. They are read one block
// of k ahead, so that an access that misses the caches holds nobody up.
template <bool kUsed, bool kTwo>
struct BlockScales {
  const float *first = nullptr, *second = nullptr;
  int straddle = 0, k_blocks = 0;
  float scale[2] = {};

  __device__ BlockScales(const GemmFp8Arguments& args, const GemmTileAt& tile)
      : k_blocks(args.k_blocks) {
    const int rows = (args.n + kGemmBlockK - 1) / kGemmBlockK, row = tile.column / kGemmBlockK;
    const int next = row + 1 < rows ? row + 1 : row;
    straddle = ((row + 1) * kGemmBlockK - tile.column) / 8;
    const float* of_group = args.block_scale + std::int64_t{tile.group} * rows * k_blocks;
    first = of_group + std::int64_t{row} * k_blocks;
    second = of_group + std::int64_t{next} * k_blocks;
    read(0);
  }
  __device__ __forceinline__ void read(int block) {
    if (!kUsed || block == k_blocks) return;
    scale[0] = __ldg(first + block);
    if (kTwo) scale[1] = __ldg(second + block);
  }
};

// The stage is free again as far as the calling warp goes.
__device__ __forceinline__ void gemm_release(std::uint64_t* empty) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) barrier_arrive(empty);
}

// One thread's part of a tile: rows `row` and `row` + 8 of each of its products of 64.
template <int kRows, int kColumns, bool kWgrad>
struct GemmConsumer {
  using Layout = GemmTileLayout<kRows, kColumns, kWgrad>;
  static constexpr int kSums = kColumns / 2;
  // Tiles that begin in one block of b's scales and end in the next have two of them.
  static constexpr bool kMayStraddle = !kWgrad && kGemmBlockK % kColumns != 0;

  const GemmFp8Arguments& args;
  int first_row;  // in the tile, of the warpgroup
  int lane_row, lane_column;
  float total[Layout::kParts][kSums];

  __device__ int row_of(const GemmTileAt& tile, int part, int half) const {
    return tile.row + first_row + 64 * part + lane_row + 8 * half;
  }

  // What is accumulated onto: zeros, or of wgrad what `out` holds.
  __device__ __forceinline__ void begin(const GemmTileAt& tile) {
#pragma unroll
    for (int part = 0; part < Layout::kParts; ++part)
#pragma unroll
      for (int i = 0; i < kSums; ++i) {
        total[part][i] = 0;
        if constexpr (kWgrad) {
          const int row = row_of(tile, part, i / 2 % 2);
          const int column = tile.column + i / 4 * 8 + lane_column + i % 2;
          if (row < tile.end && column < args.n)
            total[part][i] =
                static_cast<const float*>(args.out)[std::int64_t{row} * args.n + column];
        }
      }
  }

  __device__ __forceinline__ void promote(float (&to)[kSums],
                                          const float (&sums)[kSums],
                                          const float (&a_scale)[2],
                                          const float (&b_scale)[2],
                                          int straddle) {
    const float low[2] = {a_scale[0] * b_scale[0], a_scale[1] * b_scale[0]};
    const float high[2] = {a_scale[0] * b_scale[1], a_scale[1] * b_scale[1]};
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      const bool beyond = kMayStraddle && i / 4 >= straddle;
      to[i] += sums[i] * (beyond ? high[i / 2 % 2] : low[i / 2 % 2]);
    }
  }

  __device__ __forceinline__ void promote_columns(float (&to)[kSums],
                                                  const float (&sums)[kSums],
                                                  const float (&a_scale)[2],
                                                  const float* b_scale) {
#pragma unroll
    for (int i = 0; i < kSums; i += 4) {
      const float2 scale = *reinterpret_cast<const float2*>(b_scale + 2 * i + lane_column);
      to[i] += sums[i] * (a_scale[0] * scale.x);
      to[i + 1] += sums[i + 1] * (a_scale[0] * scale.y);
      to[i + 2] += sums[i + 2] * (a_scale[1] * scale.x);
      to[i + 3] += sums[i + 3] * (a_scale[1] * scale.y);
    }
  }

  // 128 of k, of which the stage is given back as soon as it has been read. Of 64 rows of which
  // none is the tile's nothing is multiplied.
  __device__ __forceinline__ void add_block(const GemmTileAt& tile,
                                            const std::byte* stage,
                                            std::uint64_t* empty,
                                            const float (&b_scale)[2],
                                            int straddle) {
    const auto* a_scales = reinterpret_cast<const float*>(stage + Layout::kAScaleAt);
    const auto* b_scales = reinterpret_cast<const float*>(stage + Layout::kBScaleAt);
#pragma unroll
    for (int part = 0; part < Layout::kParts; ++part) {
      const bool last = part == Layout::kParts - 1;
      const int row = first_row + 64 * part;  // in the tile
      if (tile.row + row >= tile.end) {
        if (last) gemm_release(empty);
        continue;
      }
      const float a_scale[2] = {a_scales[row + lane_row], a_scales[row + lane_row + 8]};
      float sums[kSums];
      gemm_multiply<kColumns>(sums, stage + row * kGemmBlockK, stage + Layout::kBAt);
      if (!kWgrad && last) gemm_release(empty);
      if constexpr (kWgrad)
        promote_columns(total[part], sums, a_scale, b_scales);
      else
        promote(total[part], sums, a_scale, b_scale, straddle);
      if (kWgrad && last) gemm_release(empty);
    }
  }

  // Accumulated in place, one value at a time: n may be odd. Neighbouring lanes fill whole sectors.
  __device__ __forceinline__ void store_sums(const GemmTileAt& tile, int row, int part, int half) {
    if (row >= tile.end) return;
    float* out = static_cast<float*>(args.out) + std::int64_t{row} * args.n;
#pragma unroll
    for (int i = 0; i < kColumns / 8; ++i) {
      const int column = tile.column + 8 * i + lane_column;
      if (column < args.n) out[column] = total[part][4 * i + 2 * half];
      if (column + 1 < args.n) out[column + 1] = total[part][4 * i + 2 * half + 1];
    }
  }

  // Four lanes hold a row, two columns of every eight each. They trade, so that a lane has all of
  // eight columns and stores 16 bytes, and the four of them 64 in a row. What is left of a width
  // that is no multiple of 32 is stored as it lies.
  __device__ __forceinline__ void store_bf16(const GemmTileAt& tile, int row, int part, int half) {
    constexpr int kEights = kColumns / 8;
    Bf16* out = static_cast<Bf16*>(args.out) + std::int64_t{row} * args.n + tile.column;
    const auto pair = [&](int eight) {
      return pack_bf16(total[part][4 * eight + 2 * half], total[part][4 * eight + 2 * half + 1]);
    };
#pragma unroll
    for (int i = 0; i + 4 <= kEights; i += 4) {
      std::uint32_t words[4] = {pair(i), pair(i + 1), pair(i + 2), pair(i + 3)};
      transpose_in_quad(words);
      const int column = 8 * i + lane_column * 4;
      if (row < tile.end && tile.column + column < args.n) store_16_bytes(out + column, words);
    }
#pragma unroll
    for (int i = kEights / 4 * 4; i < kEights; ++i) {
      const int column = 8 * i + lane_column;
      if (row < tile.end && tile.column + column < args.n)
        *reinterpret_cast<std::uint32_t*>(out + column) = pair(i);
    }
  }

  __device__ __forceinline__ void store(const GemmTileAt& tile) {
#pragma unroll
    for (int part = 0; part < Layout::kParts; ++part)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = row_of(tile, part, half);
        if constexpr (kWgrad)
          store_sums(tile, row, part, half);
        else
          store_bf16(tile, row, part, half);
      }
  }
};

template <int kRows, int kColumns, bool kWgrad>
__device__ __forceinline__ void gemm_multiply_tiles(const GemmFp8Arguments& args,
                                                    const GemmRing<kRows, kColumns, kWgrad>& ring) {
  using Layout = GemmTileLayout<kRows, kColumns, kWgrad>;
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  using Consumer = GemmConsumer<kRows, kColumns, kWgrad>;
  Consumer own = {args, warp / 4 * Layout::kParts * 64, warp % 4 * 16 + lane / 4, lane % 4 * 2, {}};
  RingPosition<Layout::kStages> at;
  GemmTileWalk<kRows, kColumns> walk(args);
  GemmTileAt tile;
  for (int i = static_cast<int>(blockIdx.x); walk.find(i, tile); i += static_cast<int>(gridDim.x)) {
    own.begin(tile);
    BlockScales<!kWgrad, Consumer::kMayStraddle> block_scales(args, tile);
    for (int block = 0; block < args.k_blocks; ++block, at.advance()) {
      const float b_scale[2] = {block_scales.scale[0], block_scales.scale[1]};
      block_scales.read(block + 1);
      barrier_wait(ring.full(at.stage), at.parity);
      own.add_block(
          tile, ring.stage(at.stage), ring.empty(at.stage), b_scale, block_scales.straddle);
    }
    own.store(tile);
  }
}

template <int kRows, int kColumns, bool kWgrad>
__global__ void __launch_bounds__(GemmTileLayout<kRows, kColumns, kWgrad>::kThreads, 1)
    gemm_fp8_kernel(const __grid_constant__ GemmFp8Arguments args) {
  using Layout = GemmTileLayout<kRows, kColumns, kWgrad>;
  const GemmRing<kRows, kColumns, kWgrad> ring = {dynamic_shared()};
  const int warpgroup = static_cast<int>(threadIdx.x / 128);
  if (threadIdx.x == 0) {
    for (int i = 0; i < Layout::kStages; ++i) {
      barrier_init(ring.full(i), 1);
      barrier_init(ring.empty(i), 4 * Layout::kConsumers);  // one arrival a warp
    }
    fence_barrier_init();
  }
  __syncthreads();
  // With two warpgroups that multiply a thread has 168 registers, too few for 256 x 128; with one,
  // 255. Giving and taking have to add up to what the block was launched with.
  if (warpgroup == Layout::kConsumers) {
    if constexpr (Layout::kConsumers == 2) give_registers<40>();
    if (threadIdx.x % 128 == 0) gemm_copy_ahead<kRows, kColumns, kWgrad>(args, ring);
  } else {
    if constexpr (Layout::kConsumers == 2) take_registers<232>();
    gemm_multiply_tiles<kRows, kColumns, kWgrad>(args, ring);
  }
}

// Host side: what a launch needs beside the arguments.
struct GemmFp8Operands {
  const E4m3 *a, *b;
  const float *a_scale, *b_scale;              // b_scale: wgrad only
  std::int64_t a_rows, b_rows, k;              // of all groups
  std::int64_t a_scale_rows, a_scale_columns;  // [a_scale_rows][a_scale_ld], columns of them used
  std::int64_t a_scale_ld, b_scale_ld;
};

template <int kRows, int kColumns, bool kWgrad>
void launch_gemm_tile(const char* name,
                      Stream stream,
                      const GemmFp8Operands& in,
                      GemmFp8Arguments args,
                      std::int64_t blocks) {
  using Layout = GemmTileLayout<kRows, kColumns, kWgrad>;
  args.a = make_matrix_map(in.a, in.a_rows, in.k, in.k, kRows, kGemmBlockK, true);
  args.b = make_matrix_map(in.b, in.b_rows, in.k, in.k, kColumns, kGemmBlockK, true);
  args.a_scale = make_matrix_map(
      in.a_scale, in.a_scale_rows, in.a_scale_columns, 4 * in.a_scale_ld, 1, kRows, false);
  if constexpr (kWgrad)
    args.b_scale = make_matrix_map(
        in.b_scale, in.a_scale_rows, in.b_rows, 4 * in.b_scale_ld, 1, kColumns, false);
  launch(name,
         stream,
         gemm_fp8_kernel<kRows, kColumns, kWgrad>,
         dim3(static_cast<unsigned>(blocks)),
         dim3(Layout::kThreads),
         Layout::kSharedBytes,
         args);
}

template <bool kWgrad, int kRows, int... kSteps>
void launch_gemm_columns(std::integer_sequence<int, kSteps...> /*widths*/,
                         std::int64_t columns,
                         const char* name,
                         Stream stream,
                         const GemmFp8Operands& in,
                         const GemmFp8Arguments& args,
                         std::int64_t blocks) {
  ((columns == (kSteps + 1) * kTileStep
        ? launch_gemm_tile<kRows, (kSteps + 1) * kTileStep, kWgrad>(name, stream, in, args, blocks)
        : void()),
   ...);
}

// `blocks`: no more than SMs.
template <bool kWgrad>
void launch_gemm(const char* name,
                 Stream stream,
                 GemmTile tile,
                 const GemmFp8Operands& in,
                 const GemmFp8Arguments& args,
                 std::int64_t blocks) {
  constexpr std::make_integer_sequence<int, kWidestTile / kTileStep> kWidths;
  if (tile.bm == 64)
    launch_gemm_columns<kWgrad, 64>(kWidths, tile.bn, name, stream, in, args, blocks);
  else if (tile.bm == 128)
    launch_gemm_columns<kWgrad, 128>(kWidths, tile.bn, name, stream, in, args, blocks);
  else
    launch_gemm_columns<kWgrad, 256>(kWidths, tile.bn, name, stream, in, args, blocks);
}

}  // namespace moesim
