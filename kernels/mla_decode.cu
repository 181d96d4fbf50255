#include "kernels/mla_decode.hpp"
#include "kernels/online_softmax.hpp"
#include "kernels/ptx.hpp"
#include "kernels/wgmma.hpp"
#include "model/kernel_plan.hpp"

namespace moesim {

namespace {

// A tile is nine boxes of 64 rows x 64 columns, each row 128 bytes, swizzled. The two warpgroups
// that multiply take turns: the scores of the pages of stage w of the ring are warpgroup w's, their
// weights go to the other through shared memory, and either adds to its half of the output.
constexpr int kBoxBytes = 64 * 64 * 2, kBoxes = kMlaLatent / 64, kTileBytes = kBoxes * kBoxBytes;
constexpr int kStages = 2;
constexpr int kConsumers = 256, kThreads = kConsumers + 128;
constexpr int kOwnBarrier = 1;   // and the next: named barriers of a warpgroup
constexpr int kBothBarrier = 3;  // of both
constexpr int kColumns = 256;    // of the output, of a warpgroup
static_assert(kMlaRowTile == kDecodeHeadTile, "the plan counts tiles of other rows");

struct Shared {
  std::byte queries[kTileBytes], pages[kStages][kTileBytes];
  std::byte weights[kBoxBytes];  // of one page: whoever writes the next has read the last
  float highest[kMlaRowTile], shrink[kMlaRowTile];  // as of those weights
  float sums[2][2][kMlaRowTile];                    // by part in turn, and warpgroup
  std::uint64_t full[kStages][kBoxes], empty[kStages];
  std::uint64_t queries_full, queries_empty;
  std::uint64_t weights_full[2];  // by the warpgroup they are from
};
static_assert(sizeof(Shared) <= 227 * 1024, "a block of Hopper has no more shared memory");

__device__ Shared& shared() { return *reinterpret_cast<Shared*>(dynamic_shared()); }

// Where in the ring a page is, over all parts of the partition.
struct PagePosition {
  int stage = 0;
  unsigned parity = 0;
  __device__ void next() {
    if (++stage < kStages) return;
    stage = 0;
    parity ^= 1u;
  }
};

struct TensorMaps {
  TensorMap q;      // [batch, s_q * heads, 576], boxes of 1 x 64 x 64
  TensorMap cache;  // [tokens of all pages, 576], boxes of 64 x 64
};

// One thread: queries and pages of all parts of the partition, as there is room for them.
__device__ void load_parts(const MlaDecode& d, const TensorMaps& maps) {
  Shared& s = shared();
  PagePosition at;
  unsigned queries_parity = 0;
  prefetch_tensor_map(maps.q);
  prefetch_tensor_map(maps.cache);
  const int partition = static_cast<int>(blockIdx.y);
  const int first_row = static_cast<int>(blockIdx.x) * kMlaRowTile;
  for (int i = d.first_part[partition]; i < d.first_part[partition + 1]; ++i) {
    const MlaDecodePart part = d.parts[i];
    const std::int32_t* const table =
        d.block_table + static_cast<std::int64_t>(part.request) * d.pages_per_request;
    for (int block = part.first_block; block < part.end_block; ++block, at.next()) {
      const std::int32_t row = table[block] * kMlaPage;
      barrier_wait(&s.empty[at.stage], at.parity ^ 1u);
      for (int box = 0; box < kBoxes; ++box) {
        std::uint64_t* const full = &s.full[at.stage][box];
        barrier_arrive_expecting(full, kBoxBytes);
        tensor_load(maps.cache, s.pages[at.stage] + box * kBoxBytes, full, box * 64, row);
      }
      // After the first page, which need not wait for the queries before to be done with.
      if (block > part.first_block) continue;
      barrier_wait(&s.queries_empty, queries_parity ^ 1u);
      queries_parity ^= 1u;
      barrier_arrive_expecting(&s.queries_full, kTileBytes);
      for (int box = 0; box < kBoxes; ++box)
        tensor_load(maps.q,
                    s.queries + box * kBoxBytes,
                    &s.queries_full,
                    box * 64,
                    first_row,
                    part.request);
    }
  }
}

// What a warpgroup keeps over a part.
struct Attention {
  int warpgroup;
  float scale_log2;
  int seen[2];            // tokens of the request that this thread's rows see
  OnlineSoftmax softmax;  // sum: over the warpgroup's own pages
  float out[kColumns / 2];
};

// A warp is done with what a barrier guards, or has written it.
__device__ __forceinline__ void release(std::uint64_t& barrier) {
  if (threadIdx.x % 32 == 0) barrier_arrive(&barrier);
}

// Starts scores[64, 64] of the tile's rows and a page's tokens, box by box as they arrive.
__device__ __forceinline__ void start_scores(float (&scores)[32], PagePosition at) {
  Shared& s = shared();
  const std::uint64_t q = matrix_descriptor(s.queries), k = matrix_descriptor(s.pages[at.stage]);
  wgmma_keep(scores);
#pragma unroll
  for (unsigned step = 0; step < kMlaLatent / 16; ++step) {
    if (step % 4 == 0) {
      barrier_wait(&s.full[at.stage][step / 4], at.parity);
      wgmma_fence();  // ptxas puts one behind any loop of waiting
    }
    const unsigned offset = step / 4 * kBoxBytes + step % 4 * 32;
    wgmma_bf16<64, false>(scores, descriptor_at(q, offset), descriptor_at(k, offset), step > 0);
  }
  wgmma_commit();
}

// The warpgroup's columns of a page's tokens, once they are there.
__device__ __forceinline__ std::uint64_t value_descriptor(int warpgroup, PagePosition at) {
  constexpr int kOwnBoxes = kColumns / 64;
  for (int box = 0; box < kOwnBoxes; ++box)
    barrier_wait(&shared().full[at.stage][warpgroup * kOwnBoxes + box], at.parity);
  return matrix_descriptor(
      shared().pages[at.stage] + warpgroup * kOwnBoxes * kBoxBytes, 1024, kBoxBytes);
}

// Starts out[64, 256] += weights[64, 64] values[64, 256]: `weights(step)` is an operand of wgmma.
template <class Weights>
__device__ __forceinline__ void start_values(Attention& a, PagePosition at, Weights weights) {
  const std::uint64_t v = value_descriptor(a.warpgroup, at);
  wgmma_keep(a.out);
  wgmma_fence();
#pragma unroll
  for (unsigned step = 0; step < kMlaPage / 16; ++step)
    wgmma_bf16<kColumns, true>(a.out, weights(step), descriptor_at(v, step * 2048), true);
  wgmma_commit();
}

// Own scores of a page whose first token is `first`: to weights.
__device__ __forceinline__ void weigh(Attention& a,
                                      int first,
                                      float (&scores)[32],
                                      float (&shrink)[2],
                                      std::uint32_t (&weights)[4][4]) {
  if (a.seen[0] - first < kMlaPage || a.seen[1] - first < kMlaPage)
    mask_scores(scores, {a.seen[0] - first, a.seen[1] - first});
  add_scores(a.softmax, scores, a.scale_log2, shrink);
  pack_weights(scores, weights);
}

// Nothing is known of what lies in the last page beyond the request's tokens, and a weight of 0
// does not make 0 of NaN.
__device__ void zero_tail(std::byte* page, int tokens) {
  constexpr int kPiecesOfRow = 128 / 16;
  const int pieces = (kMlaPage - tokens) * kPiecesOfRow * kBoxes;
  for (int i = static_cast<int>(threadIdx.x % 128); i < pieces; i += 128) {
    const int box = i % kBoxes, piece = i / kBoxes;  // whole rows: their swizzle is no matter
    *reinterpret_cast<uint4*>(page + box * kBoxBytes + tokens * 128 + piece * 16) =
        make_uint4(0, 0, 0, 0);
  }
}

// Weights, and what came of the maximum, for the other warpgroup. `tokens` are left from the page's
// first on.
__device__ __forceinline__ void give(const Attention& a,
                                     PagePosition at,
                                     int tokens,
                                     const float (&shrink)[2],
                                     const std::uint32_t (&weights)[4][4]) {
  Shared& s = shared();
  // All of the warpgroup have read the other's weights and multiplied the page's keys.
  named_barrier_sync(kOwnBarrier + a.warpgroup, 128);
  if (tokens < kMlaPage) zero_tail(s.pages[at.stage], tokens);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = fragment_row(half);
#pragma unroll
    for (int i = 0; i < kMlaPage / 8; ++i) {
      const int piece = (i ^ (row % 8)) * 16 + fragment_column(0) * 2;
      memcpy(s.weights + row * 128 + piece, &weights[i / 2][i % 2 * 2 + half], 4);
    }
    if (threadIdx.x % 4 == 0) {
      s.highest[row] = a.softmax.highest[half];
      s.shrink[row] = shrink[half];
    }
  }
  fence_proxy_async();
  // The tail's zeros are all of the warpgroup's; of the weights a warp gives only its own.
  if (tokens < kMlaPage) named_barrier_sync(kOwnBarrier + a.warpgroup, 128);
  __syncwarp();
  release(s.weights_full[a.warpgroup]);
}

// What the other warpgroup gave: its maximum is ours, and what we have shrinks to it.
__device__ __forceinline__ void receive(Attention& a, PagePosition at) {
  Shared& s = shared();
  barrier_wait(&s.weights_full[1 - a.warpgroup], at.parity);
  float shrink[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = fragment_row(half);
    a.softmax.highest[half] = s.highest[row];
    shrink[half] = s.shrink[row];
    a.softmax.sum[half] *= shrink[half];
  }
  scale_rows(a.out, shrink);
  start_values(a, at, [w = matrix_descriptor(s.weights)](unsigned step) {
    return descriptor_at(w, step * 32);
  });
}

__device__ __forceinline__ void finish_values(Attention& a, PagePosition at) {
  wgmma_wait<0>();
  wgmma_keep(a.out);
  release(shared().empty[at.stage]);
}

// An own page's values, after its weights were given away: they stay in registers here.
__device__ __forceinline__ void add_own(Attention& a,
                                        PagePosition at,
                                        const float (&shrink)[2],
                                        const std::uint32_t (&weights)[4][4]) {
  scale_rows(a.out, shrink);
  start_values(a, at, [&](unsigned step) -> const std::uint32_t(&)[4] { return weights[step]; });
  finish_values(a, at);
}

// All pages of a part; `at` is where the first one is, and is left where the next part's is.
__device__ __forceinline__ void attend_part(Attention& a,
                                            const MlaDecodePart& part,
                                            int length,
                                            PagePosition& at) {
  float scores[32], shrink[2];
  std::uint32_t weights[4][4];
  int block = part.first_block;
  if (block < part.end_block && at.stage == a.warpgroup) {
    start_scores(scores, at);
    wgmma_wait<0>();
    wgmma_keep(scores);
    weigh(a, block * kMlaPage, scores, shrink, weights);
    give(a, at, length - block * kMlaPage, shrink, weights);
    add_own(a, at, shrink, weights);
    ++block;
    at.next();
  }
  // The other's page, then an own one, whose scores are multiplied before the other's weights are
  // there and whose softmax is taken while the other's values are multiplied.
  for (; block + 1 < part.end_block; block += 2) {
    const int first = (block + 1) * kMlaPage;
    const PagePosition other = at;
    at.next();
    start_scores(scores, at);
    receive(a, other);
    wgmma_wait<1>();
    wgmma_keep(scores);
    weigh(a, first, scores, shrink, weights);
    finish_values(a, other);
    give(a, at, length - first, shrink, weights);
    add_own(a, at, shrink, weights);
    at.next();
  }
  if (block < part.end_block) {
    receive(a, at);
    finish_values(a, at);
    at.next();
  }
}

// Adds the other warpgroup's sum to one's own: `turn` is 0 and 1 for one part after the other, so
// that a slow reader's sums are not overwritten.
__device__ __forceinline__ void share_sums(Attention& a, int turn) {
  float(&sums)[2][kMlaRowTile] = shared().sums[turn];
  add_up(a.softmax);
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (threadIdx.x % 4 == 0) sums[a.warpgroup][fragment_row(half)] = a.softmax.sum[half];
  named_barrier_sync(kBothBarrier, kConsumers);
#pragma unroll
  for (int half = 0; half < 2; ++half)
    a.softmax.sum[half] += sums[1 - a.warpgroup][fragment_row(half)];
}

// A part's share of its request, or all of it.
__device__ __forceinline__ void write_part(const MlaDecode& d,
                                           const MlaDecodePart& part,
                                           const Attention& a,
                                           const float (&lse)[2]) {
  const int rows = d.s_q * d.heads;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = static_cast<int>(blockIdx.x) * kMlaRowTile + fragment_row(half);
    if (row >= rows) continue;
    const bool whole = part.slot < 0;
    const std::int64_t at = std::int64_t{whole ? part.request : part.slot} * rows + row;
    if (a.warpgroup == 0 && threadIdx.x % 4 == 0)
      (whole ? d.lse : d.partial_lse)[at] = whole ? lse[half] * kLn2 : lse[half];
    const std::int64_t first = at * kMlaValue + a.warpgroup * kColumns;
#pragma unroll
    for (int i = 0; i < kColumns / 8; ++i) {
      const float x = a.out[4 * i + 2 * half], y = a.out[4 * i + 2 * half + 1];
      if (whole)
        *reinterpret_cast<std::uint32_t*>(d.out + first + fragment_column(i)) = pack_bf16(x, y);
      else
        *reinterpret_cast<float2*>(d.partial_out + first + fragment_column(i)) = make_float2(x, y);
    }
  }
}

// A warpgroup that multiplies: all parts of the partition.
__device__ __forceinline__ void attend(const MlaDecode& d) {
  Attention a;
  // From one lane, so that ptxas sees that no branch on it divides a warp: it would have every
  // wgmma waited for.
  a.warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x / 128), 0);
  a.scale_log2 = d.scale * kLog2E;
  PagePosition at;
  unsigned queries_parity = 0;
  const int partition = static_cast<int>(blockIdx.y), first_part = d.first_part[partition];
  for (int i = first_part; i < d.first_part[partition + 1]; ++i) {
    const MlaDecodePart part = d.parts[i];
    const int length = d.lengths[part.request];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = static_cast<int>(blockIdx.x) * kMlaRowTile + fragment_row(half);
      const int query = row / d.heads < d.s_q ? row / d.heads : d.s_q - 1;
      a.seen[half] = length - (d.s_q - 1) + query;
    }
    a.softmax = {};
#pragma unroll
    for (float& o : a.out) o = 0;
    if (part.first_block < part.end_block) {
      barrier_wait(&shared().queries_full, queries_parity);
      queries_parity ^= 1u;
      attend_part(a, part, length, at);
      release(shared().queries_empty);
    }
    share_sums(a, (i - first_part) % 2);
    float inverse[2], lse[2];
    finish_softmax(a.softmax, a.scale_log2, inverse, lse);
    scale_rows(a.out, inverse);
    write_part(d, part, a, lse);
  }
}

// blockIdx: tile of rows, partition. Thread blocks that read the same pages are neighbours.
__global__ __launch_bounds__(kThreads,
                             1) void mla_decode_kernel(const __grid_constant__ MlaDecode d,
                                                       const __grid_constant__ TensorMaps maps) {
  if (threadIdx.x == 0) {
    Shared& s = shared();
    barrier_init(&s.queries_full, 1);
    barrier_init(&s.queries_empty, kConsumers / 32);
    for (int stage = 0; stage < kStages; ++stage) {
      for (std::uint64_t& full : s.full[stage]) barrier_init(&full, 1);
      barrier_init(&s.empty[stage], kConsumers / 32);
    }
    for (std::uint64_t& full : s.weights_full) barrier_init(&full, kConsumers / 2 / 32);
    fence_barrier_init();
  }
  __syncthreads();
  if (threadIdx.x >= kConsumers) {
    give_registers<24>();
    if (threadIdx.x == kConsumers) load_parts(d, maps);
  } else {
    take_registers<240>();
    attend(d);
  }
}

}  // namespace

void mla_decode(const MlaDecode& d, Stream stream) {
  constexpr std::uint64_t kRowBytes = kMlaLatent * sizeof(Bf16);
  const std::int64_t tokens = std::int64_t{d.num_pages} * kMlaPage;
  const int rows = d.s_q * d.heads;
  const auto wide_rows = static_cast<std::uint64_t>(rows);
  const TensorMaps maps = {
      make_tensor_map<Bf16, 3>(d.q,
                               {{kMlaLatent, wide_rows, static_cast<std::uint64_t>(d.batch)},
                                {kRowBytes, wide_rows * kRowBytes},
                                {64, kMlaRowTile, 1},
                                true}),
      make_matrix_map(d.cache, tokens, kMlaLatent, kRowBytes, kMlaPage, 64, true)};
  const auto tiles = static_cast<unsigned>(ceil_div(rows, kMlaRowTile));
  launch("mla_decode",
         stream,
         mla_decode_kernel,
         dim3(tiles, static_cast<unsigned>(d.partitions)),
         dim3(kThreads),
         sizeof(Shared),
         d,
         maps);
  if (d.num_splits > 0) mla_decode_combine(d, stream);
}

}  // namespace moesim
