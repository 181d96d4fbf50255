#include <limits>

#include "kernels/elementwise.hpp"
#include "kernels/vectors.hpp"

namespace moesim {
namespace {

constexpr int kThreads = 256, kSteps = 4, kBlockVectors = kThreads * kSteps;

__global__ void __launch_bounds__(kThreads) add_kernel(const AddTensors p) {
  const std::int64_t first = std::int64_t{blockIdx.x} * kBlockVectors + threadIdx.x,
                     vectors = p.size / 8;
  uint4 a[kSteps], b[kSteps];
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const std::int64_t v = first + i * kThreads;
    if (v >= vectors) continue;
    a[i] = load_words<uint4>(p.a + v * 8);
    b[i] = load_words<uint4>(p.b + v * 8);
  }
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const std::int64_t v = first + i * kThreads;
    if (v >= vectors) continue;
    Floats8 sum = unpack_bf16x8(a[i]);
    const Floats8 other = unpack_bf16x8(b[i]);
#pragma unroll
    for (int j = 0; j < 8; ++j) sum.at[j] += other.at[j];
    store_words(p.out + v * 8, pack_bf16x8(sum));
  }
}

// Vectors of all rows one after the other, a block's at a time; only the block's first needs a
// division of 64 bits.
__global__ void __launch_bounds__(kThreads) copy_kernel(const CopyPieces p) {
  const auto piece_vectors = static_cast<std::uint32_t>(p.piece_bytes / 16),
             row_vectors = static_cast<std::uint32_t>(p.copies) * piece_vectors;
  const std::int64_t begin = std::int64_t{blockIdx.x} * kBlockVectors,
                     first_row = begin / row_vectors;
  const auto offset = static_cast<std::uint32_t>(begin - first_row * row_vectors) + threadIdx.x;
  const auto* const from = static_cast<const std::byte*>(p.from);
  auto* const to = static_cast<std::byte*>(p.to);
  uint4 words[kSteps];
  std::int64_t places[kSteps];
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const std::uint32_t at = offset + static_cast<std::uint32_t>(i) * kThreads;
    const std::int64_t row = first_row + at / row_vectors, copy = at % row_vectors / piece_vectors,
                       byte = std::int64_t{at % row_vectors % piece_vectors} * 16;
    places[i] = row < p.rows ? row * p.to_row_stride + copy * p.to_copy_stride + byte : -1;
    if (places[i] >= 0)
      words[i] =
          load_words<uint4>(from + row * p.from_row_stride + copy * p.from_copy_stride + byte);
  }
#pragma unroll
  for (int i = 0; i < kSteps; ++i)
    if (places[i] >= 0) store_words(to + places[i], words[i]);
}

dim3 blocks_for(std::int64_t vectors) {
  return dim3(static_cast<unsigned>((vectors + kBlockVectors - 1) / kBlockVectors));
}

}  // namespace

void add_tensors(const AddTensors& p, Stream stream) {
  refuse_unless(p.size % 8 == 0, "add_tensors: the size is no multiple of 8");
  if (p.size > 0)
    launch("add_tensors", stream, add_kernel, blocks_for(p.size / 8), dim3(kThreads), 0, p);
}

void copy_pieces(const CopyPieces& p, Stream stream) {
  refuse_unless((p.piece_bytes | p.from_row_stride | p.from_copy_stride | p.to_row_stride |
                 p.to_copy_stride) %
                        16 ==
                    0,
                "copy_pieces: a piece or a stride is no multiple of 16 bytes");
  const std::int64_t row_vectors = p.copies * (p.piece_bytes / 16);
  refuse_unless(row_vectors < std::numeric_limits<std::int32_t>::max(),
                "copy_pieces: a row has 32 GiB or more");
  if (p.rows * row_vectors > 0)
    launch(
        "copy_pieces", stream, copy_kernel, blocks_for(p.rows * row_vectors), dim3(kThreads), 0, p);
}

}  // namespace moesim
