// How the FP8 GEMM kernel (kernels/gemm_fp8_kernel.hpp) cuts its work: sizes of a tile and of the
// ring of stages in shared memory, what a launch is told, and which tile is whose.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/tensor_map.hpp"

namespace moesim {

inline constexpr int kGemmBlockK = 128;  // bytes, a swizzled row, and the length of a scale

// Sizes of one instantiation. Scales of b are copied where they are one per column (wgrad); those
// of 128 x 128 are read from global memory, one or two a tile and 128 of k.
template <int kRows, int kColumns, bool kWgrad>
struct GemmTileLayout {
  static constexpr int kConsumers = kRows == 64 ? 1 : 2;    // warpgroups that multiply
  static constexpr int kParts = kRows / (64 * kConsumers);  // products of 64 rows each does
  static constexpr int kThreads = 128 * (kConsumers + 1);
  static constexpr int kABytes = kRows * kGemmBlockK, kBBytes = kColumns * kGemmBlockK;
  static constexpr int kAScaleBytes = kRows * 4, kBScaleBytes = kWgrad ? kColumns * 4 : 0;
  static constexpr int kCopiedBytes = kABytes + kBBytes + kAScaleBytes + kBScaleBytes;
  static constexpr int kBAt = kABytes, kAScaleAt = kBAt + kBBytes;
  static constexpr int kBScaleAt = (kAScaleAt + kAScaleBytes + 127) / 128 * 128;
  static constexpr int kStageBytes = (kBScaleAt + kBScaleBytes + 1023) / 1024 * 1024;
  static constexpr int kBarrierBytes = 128, kMostShared = 227 * 1024, kMostStages = 8;
  static constexpr int kStages = (kMostShared - kBarrierBytes) / kStageBytes < kMostStages
                                     ? (kMostShared - kBarrierBytes) / kStageBytes
                                     : kMostStages;
  static constexpr int kSharedBytes = kStages * kStageBytes + kBarrierBytes;
  static_assert(kStages >= 4, "four stages cover the latency of HBM; a smaller ring stalls");
};

struct GemmFp8Arguments {
  TensorMap a, a_scale, b, b_scale;  // b_scale: wgrad only
  const float* block_scale;          // 128 x 128 scales of b: [groups][ceil(n / 128)][k_blocks]
  void* out;                         // Bf16, or of wgrad float
  const std::int32_t* counts;        // rows of each group; nullptr: one group of m
  int groups, m, n, k_blocks;
  int room;  // rows set aside for each group; 0: one group's rows follow the other's
};

// One tile: rows [row, end) of `out` and of a, of which it may hold more than fit, from `column`
// on.
struct GemmTileAt {
  int group, row, end, column;
  int scale_x, scale_y;  // where in a's scales row and 128 of k number 0 are
};

// Finds tiles by number. Every thread that asks walks the groups on its own; numbers only rise, and
// the first that is not found is the last to ask for. Bands of 16 row tiles: blocks that run
// together share rows of a and columns of b in the L2.
template <int kRows, int kColumns>
struct GemmTileWalk {
  const GemmFp8Arguments& args;
  int group = 0, tiles_before = 0, rows_before = 0;
  int rows = 0;

  __device__ explicit GemmTileWalk(const GemmFp8Arguments& arguments)
      : args(arguments), rows(rows_of(0)) {}

  __device__ int rows_of(int of) const {
    return args.counts == nullptr ? args.m : __ldg(args.counts + of);
  }

  __device__ bool find(int tile, GemmTileAt& at) {
    constexpr int kBand = 16;
    const int column_tiles = (args.n + kColumns - 1) / kColumns;
    int row_tiles = (rows + kRows - 1) / kRows;
    while (tile >= tiles_before + row_tiles * column_tiles) {
      tiles_before += row_tiles * column_tiles;
      rows_before += args.room > 0 ? args.room : rows;
      if (++group == args.groups) return false;
      rows = rows_of(group);
      row_tiles = (rows + kRows - 1) / kRows;
    }
    const int in_group = tile - tiles_before, band = in_group / (kBand * column_tiles);
    const int rows_left = row_tiles - band * kBand;
    const int band_rows = rows_left < kBand ? rows_left : kBand;
    const int in_band = in_group - band * kBand * column_tiles;
    const int row = (band * kBand + in_band % band_rows) * kRows;
    at.group = group;
    at.row = rows_before + row;
    at.end = rows_before + rows;
    at.column = in_band / band_rows * kColumns;
    at.scale_x = args.room > 0 ? row : at.row;
    at.scale_y = args.room > 0 ? group * args.k_blocks : 0;
    return true;
  }
};

// Where in the ring one side is.
template <int kStages>
struct RingPosition {
  int stage = 0;
  unsigned parity = 0;
  __device__ void advance() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1u;
    }
  }
};

template <int kRows, int kColumns, bool kWgrad>
struct GemmRing {
  using Layout = GemmTileLayout<kRows, kColumns, kWgrad>;
  std::byte* shared;
  __device__ std::byte* stage(int i) const { return shared + i * Layout::kStageBytes; }
  __device__ std::uint64_t* full(int i) const {
    return reinterpret_cast<std::uint64_t*>(shared + Layout::kStages * Layout::kStageBytes) + i;
  }
  __device__ std::uint64_t* empty(int i) const { return full(Layout::kMostStages + i); }
};

}  // namespace moesim
