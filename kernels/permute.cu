#include "kernels/cast.hpp"
#include "kernels/permute.hpp"
#include "kernels/vectors.hpp"

namespace moesim {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32;

// A block writes 8 rows, a warp one of them, so that the rows' scales fill sectors of 32 bytes.
__global__ void __launch_bounds__(kThreads) permute_kernel(const Permute p) {
  constexpr int kUnroll = 4;  // loads of a lane on their way at once
  const std::int64_t first = std::int64_t{blockIdx.x} * kWarps;
  const std::int64_t row = first + threadIdx.x / 32;
  if (row < p.rows) {
    const std::int64_t token = p.source[row], vectors = p.row_bytes / 16;
    const uint4* const from = static_cast<const uint4*>(p.from) + token * vectors;
    uint4* const to = static_cast<uint4*>(p.to) + row * vectors;
    for (std::int64_t v = threadIdx.x % 32; v < vectors; v += 32 * kUnroll) {
      uint4 words[kUnroll];
#pragma unroll
      for (int i = 0; i < kUnroll; ++i)
        words[i] = token >= 0 && v + 32 * i < vectors ? from[v + 32 * i] : make_uint4(0, 0, 0, 0);
#pragma unroll
      for (int i = 0; i < kUnroll; ++i)
        if (v + 32 * i < vectors) to[v + 32 * i] = words[i];
    }
  }
  if (p.from_scales == nullptr) return;
  const std::int64_t scale_row = first + threadIdx.x % kWarps;
  if (scale_row >= p.rows) return;
  const std::int64_t token = p.source[scale_row];
  for (std::int64_t b = threadIdx.x / kWarps; b < p.num_blocks; b += kThreads / kWarps)
    p.to_scales[b * scale_stride(p.rows) + scale_row] =
        token < 0 ? 0 : p.from_scales[token * p.from_token_stride + b * p.from_block_stride];
}

// A thread sums 8 columns of a token.
__global__ void __launch_bounds__(kThreads) unpermute_kernel(const Unpermute p) {
  constexpr int kUnroll = 4;
  const std::int64_t token = blockIdx.x,
                     column = (std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * 8;
  if (column >= p.width) return;
  Floats8 sum = {};
  for (int first = 0; first < p.top_k; first += kUnroll) {
    uint4 raw[kUnroll];
    float weight[kUnroll];
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      const std::int64_t entry = token * p.top_k + first + i;
      const std::int64_t row = first + i < p.top_k ? p.position[entry] : -1;
      raw[i] =
          row < 0 ? make_uint4(0, 0, 0, 0) : load_words<uint4>(p.rows + row * p.width + column);
      weight[i] = row < 0 ? 0 : p.weight == nullptr ? 1 : p.weight[entry];
    }
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      const Floats8 part = unpack_bf16x8(raw[i]);
#pragma unroll
      for (int j = 0; j < 8; ++j) sum.at[j] += weight[i] * part.at[j];
    }
  }
  store_words(p.out + token * p.width + column, pack_bf16x8(sum));
}

}  // namespace

void permute(const Permute& p, Stream stream) {
  refuse_unless(p.row_bytes % 16 == 0, "permute: rows are no multiple of 16 bytes");
  if (p.rows == 0) return;
  launch("permute",
         stream,
         permute_kernel,
         dim3(static_cast<unsigned>((p.rows + kWarps - 1) / kWarps)),
         dim3(kThreads),
         0,
         p);
}

void unpermute(const Unpermute& p, Stream stream) {
  refuse_unless(p.width % 8 == 0, "unpermute: the width is no multiple of 8");
  if (p.tokens == 0) return;
  // No wider than the row: 7168 columns are four blocks of 224 threads.
  const std::int64_t vectors = p.width / 8, blocks = (vectors + kThreads - 1) / kThreads,
                     threads = ((vectors + blocks - 1) / blocks + 31) / 32 * 32;
  launch("unpermute",
         stream,
         unpermute_kernel,
         dim3(static_cast<unsigned>(p.tokens), static_cast<unsigned>(blocks)),
         dim3(static_cast<unsigned>(threads)),
         0,
         p);
}

}  // namespace moesim
