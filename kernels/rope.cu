#include <algorithm>

#include "kernels/rope.hpp"
#include "kernels/vectors.hpp"

namespace moesim {
namespace {

constexpr int kMostThreads = 256;

__global__ void rope_table_kernel(const RopeTable p) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, pairs = p.rotated / 2;
  if (i >= p.positions * pairs) return;
  const double angle = static_cast<double>(i / pairs) *
                       pow(p.base, -2.0 * static_cast<double>(i % pairs) / p.rotated);
  p.table[2 * i] = static_cast<float>(cos(angle));
  p.table[2 * i + 1] = static_cast<float>(sin(angle));
}

struct Turns {  // of 4 pairs
  float cosine[4], sine[4];
};

__device__ Turns turns_at(const Rope& p, std::int64_t position, int vector) {
  const float* const at = p.table + position * p.rotated + vector * 8;
  const float4 a = load_words<float4>(at), b = load_words<float4>(at + 4);
  Turns turns = {{a.x, a.z, b.x, b.z}, {a.y, a.w, b.y, b.w}};
  if (p.inverse)
#pragma unroll
    for (float& s : turns.sine) s = -s;
  return turns;
}

// A block a row. A thread keeps to 8 channels, so that it loads their angles once for all the heads
// it turns.
__global__ void __launch_bounds__(kMostThreads) rope_kernel(const Rope p) {
  constexpr int kUnroll = 4;
  const std::int64_t row = blockIdx.x;
  const int vectors = p.rotated / 8, slots = static_cast<int>(blockDim.x) / vectors,
            vector = static_cast<int>(threadIdx.x) % vectors,
            slot = static_cast<int>(threadIdx.x) / vectors;
  if (slot >= slots) return;
  const Turns turns = turns_at(p, p.position == nullptr ? row : p.position[row], vector);
  Bf16* const x = p.x + row * p.heads * p.head_dim + (p.head_dim - p.rotated) + vector * 8;
  for (int first = slot; first < p.heads; first += kUnroll * slots) {
    uint4 raw[kUnroll];
#pragma unroll
    for (int i = 0; i < kUnroll; ++i)
      if (first + i * slots < p.heads)
        raw[i] = load_words<uint4>(x + std::int64_t{first + i * slots} * p.head_dim);
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      if (first + i * slots >= p.heads) continue;
      const Floats8 v = unpack_bf16x8(raw[i]);
      Floats8 turned;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float a = v.at[2 * j], b = v.at[2 * j + 1];
        turned.at[2 * j] = a * turns.cosine[j] - b * turns.sine[j];
        turned.at[2 * j + 1] = a * turns.sine[j] + b * turns.cosine[j];
      }
      store_words(x + std::int64_t{first + i * slots} * p.head_dim, pack_bf16x8(turned));
    }
  }
}

}  // namespace

void rope_table(const RopeTable& p, Stream stream) {
  refuse_unless(p.rotated % 8 == 0, "rope_table: rotated channels are no multiple of 8");
  const std::int64_t entries = p.positions * p.rotated / 2;
  if (entries > 0)
    launch("rope_table",
           stream,
           rope_table_kernel,
           dim3(static_cast<unsigned>((entries + kMostThreads - 1) / kMostThreads)),
           dim3(kMostThreads),
           0,
           p);
}

void rope(const Rope& p, Stream stream) {
  refuse_unless(p.rotated % 8 == 0 && p.head_dim % 8 == 0 && p.rotated <= p.head_dim &&
                    p.rotated <= 8 * kMostThreads,
                "rope: channels are no multiples of 8, or more are rotated than there are");
  if (p.rows == 0 || p.heads == 0 || p.rotated == 0) return;
  const std::int64_t needed = (std::int64_t{p.rotated} / 8 * p.heads + 31) / 32 * 32;
  launch("rope",
         stream,
         rope_kernel,
         dim3(static_cast<unsigned>(p.rows)),
         dim3(static_cast<unsigned>(std::min<std::int64_t>(needed, kMostThreads))),
         0,
         p);
}

}  // namespace moesim
