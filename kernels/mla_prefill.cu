#include <algorithm>

#include "kernels/mla_prefill.hpp"
#include "kernels/online_softmax.hpp"
#include "kernels/ptx.hpp"
#include "kernels/wgmma.hpp"

namespace moesim {

std::vector<MlaPrefillTile> mla_prefill_tiles(std::span<const std::int32_t> first_query,
                                              std::span<const std::int32_t> first_key) {
  constexpr auto kTile = static_cast<std::int32_t>(kAttentionTile);
  std::vector<MlaPrefillTile> tiles;
  for (std::size_t r = 0; r + 1 < first_query.size(); ++r)
    for (std::int32_t i = 0; i * kTile < first_query[r + 1] - first_query[r]; ++i)
      tiles.push_back({static_cast<std::int32_t>(r), i});
  const auto keys = [&](const MlaPrefillTile& tile) {
    const auto r = static_cast<std::size_t>(tile.request);
    return mla_prefill_keys(
        first_query[r + 1] - first_query[r], first_key[r + 1] - first_key[r], tile.block);
  };
  std::stable_sort(
      tiles.begin(), tiles.end(), [&](const auto& a, const auto& b) { return keys(a) > keys(b); });
  return tiles;
}

namespace {

// Shared memory: a tile of queries, rings of tiles of keys and of values, their barriers. A tile is
// boxes of 128 rows x 64 columns, each row 128 bytes, swizzled.
constexpr int kTile = static_cast<int>(kAttentionTile);
constexpr int kBoxBytes = kTile * 64 * 2;
constexpr int kKeyBoxes = kMlaQkHead / 64, kValueBoxes = kMlaVHead / 64;
constexpr int kKeyBytes = kKeyBoxes * kBoxBytes, kValueBytes = kValueBoxes * kBoxBytes;
constexpr int kStages = 2;
constexpr int kConsumers = 256, kThreads = kConsumers + 128;
constexpr int kWarpgroupRows = 64;

struct Barriers {
  std::uint64_t queries;
  std::uint64_t keys[kStages], values[kStages];            // full
  std::uint64_t keys_free[kStages], values_free[kStages];  // empty
};
constexpr int kKeysAt = kKeyBytes;  // the queries' tile is as wide
constexpr int kValuesAt = kKeysAt + kStages * kKeyBytes;
constexpr int kBarriersAt = kValuesAt + kStages * kValueBytes;
constexpr std::size_t kSharedBytes = kBarriersAt + sizeof(Barriers);
static_assert(kSharedBytes <= 227 * 1024, "a block of Hopper has no more shared memory");

__device__ std::byte* key_tile(int i) {
  return dynamic_shared() + kKeysAt + i % kStages * kKeyBytes;
}
__device__ std::byte* value_tile(int i) {
  return dynamic_shared() + kValuesAt + i % kStages * kValueBytes;
}
__device__ Barriers& barriers() {
  return *reinterpret_cast<Barriers*>(dynamic_shared() + kBarriersAt);
}
// Of the i-th use of a ring.
__device__ unsigned parity_of(int i) { return static_cast<unsigned>(i / kStages) & 1u; }

struct TensorMaps {
  TensorMap q, k, v;  // [tokens, heads * width], boxes of 128 x 64
};

__device__ int lesser(int a, int b) { return a < b ? a : b; }

// What a thread block has to do.
struct PrefillJob {
  int head;
  int first_query, end_query;  // rows of q; end_query is the request's
  int first_key;               // row of k and v
  int seen_by_first;           // keys that the first query of the tile sees
  int key_tiles;
};

// Thread blocks take the heads of one group first: their keys and values stay in L2 meanwhile.
__device__ PrefillJob prefill_job(const MlaPrefill& p, int head_group) {
  const auto index = static_cast<int>(blockIdx.x);
  const int first_head = index / (p.num_tiles * head_group) * head_group;
  const int heads = lesser(head_group, p.heads - first_head);
  const int in_group = index - first_head * p.num_tiles;
  const MlaPrefillTile tile = p.tiles[in_group / heads];
  PrefillJob job;
  job.head = first_head + in_group % heads;
  const int request_query = p.first_query[tile.request];
  job.first_query = request_query + tile.block * kTile;
  job.end_query = p.first_query[tile.request + 1];
  job.first_key = p.first_key[tile.request];
  const int queries = job.end_query - request_query;
  const int keys = p.first_key[tile.request + 1] - job.first_key;
  job.seen_by_first = keys - (job.end_query - job.first_query) + 1;
  job.key_tiles = (mla_prefill_keys(queries, keys, tile.block) + kTile - 1) / kTile;
  return job;
}

__device__ void load_boxes(
    const TensorMap& map, std::byte* to, std::uint64_t* barrier, int boxes, int column, int row) {
  barrier_arrive_expecting(barrier, static_cast<unsigned>(boxes * kBoxBytes));
  for (int box = 0; box < boxes; ++box)
    tensor_load(map, to + box * kBoxBytes, barrier, column + box * 64, row);
}

// One thread: the queries, then tiles of keys and values as their stages fall empty, in the order
// in which they do: keys a tile ahead of values.
__device__ void load_tiles(const PrefillJob& job, const TensorMaps& maps) {
  Barriers& b = barriers();
  const int qk_column = job.head * kMlaQkHead, v_column = job.head * kMlaVHead;
  const auto load_keys = [&](int i) {
    barrier_wait(&b.keys_free[i % kStages], parity_of(i) ^ 1u);
    load_boxes(
        maps.k, key_tile(i), &b.keys[i % kStages], kKeyBoxes, qk_column, job.first_key + i * kTile);
  };
  prefetch_tensor_map(maps.k);
  prefetch_tensor_map(maps.v);
  load_boxes(maps.q, dynamic_shared(), &b.queries, kKeyBoxes, qk_column, job.first_query);
  load_keys(0);
  for (int i = 0; i < job.key_tiles; ++i) {
    if (i + 1 < job.key_tiles) load_keys(i + 1);
    barrier_wait(&b.values_free[i % kStages], parity_of(i) ^ 1u);
    load_boxes(maps.v,
               value_tile(i),
               &b.values[i % kStages],
               kValueBoxes,
               v_column,
               job.first_key + i * kTile);
  }
}

// Starts scores[64, 128] of the warpgroup's queries and tile i of keys.
__device__ __forceinline__ void start_scores(float (&scores)[kTile / 2], int warpgroup, int i) {
  barrier_wait(&barriers().keys[i % kStages], parity_of(i));
  const std::uint64_t q = matrix_descriptor(dynamic_shared() + warpgroup * kWarpgroupRows * 128);
  const std::uint64_t k = matrix_descriptor(key_tile(i));
  wgmma_keep(scores);
  wgmma_fence();
#pragma unroll
  for (unsigned step = 0; step < kMlaQkHead / 16; ++step) {
    const unsigned at = step / 4 * kBoxBytes + step % 4 * 32;
    wgmma_bf16<kTile, false>(scores, descriptor_at(q, at), descriptor_at(k, at), step > 0);
  }
  wgmma_commit();
}

// Starts out[64, 128] += weights[64, 128] of tile i, times its values.
__device__ __forceinline__ void start_values(float (&out)[kMlaVHead / 2],
                                             const std::uint32_t (&weights)[kTile / 16][4],
                                             int i) {
  barrier_wait(&barriers().values[i % kStages], parity_of(i));
  const std::uint64_t v = matrix_descriptor(value_tile(i), 1024, kBoxBytes);
  wgmma_keep(out);
  wgmma_fence();
#pragma unroll
  for (unsigned step = 0; step < kTile / 16; ++step)
    wgmma_bf16<kMlaVHead, true>(out, weights[step], descriptor_at(v, step * 2048), true);
  wgmma_commit();
}

__device__ __forceinline__ void release(std::uint64_t (&free)[kStages], int i) {
  if (threadIdx.x % 32 == 0) barrier_arrive(&free[i % kStages]);
}

// Scores of tile i to exponentials. Only the last tiles hold keys that a query does not see.
__device__ __forceinline__ void weigh(const PrefillJob& job,
                                      int warpgroup,
                                      int i,
                                      float scale_log2,
                                      OnlineSoftmax& softmax,
                                      float (&scores)[kTile / 2],
                                      float (&shrink)[2]) {
  const int seen = job.seen_by_first + warpgroup * kWarpgroupRows - i * kTile;  // by its first row
  if (seen < kTile) mask_scores(scores, {seen + fragment_row(0), seen + fragment_row(1)});
  add_scores(softmax, scores, scale_log2, shrink);
}

__device__ __forceinline__ void write_rows(const MlaPrefill& p,
                                           const PrefillJob& job,
                                           int warpgroup,
                                           const float (&out)[kMlaVHead / 2],
                                           const float (&lse)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int query = job.first_query + warpgroup * kWarpgroupRows + fragment_row(half);
    if (query >= job.end_query) continue;
    if (threadIdx.x % 4 == 0) p.lse[std::int64_t{job.head} * p.queries + query] = lse[half] * kLn2;
    Bf16* const row = p.out + (std::int64_t{query} * p.heads + job.head) * kMlaVHead;
#pragma unroll
    for (int i = 0; i < kMlaVHead / 8; ++i)
      *reinterpret_cast<std::uint32_t*>(row + fragment_column(i)) =
          pack_bf16(out[4 * i + 2 * half], out[4 * i + 2 * half + 1]);
  }
}

// A consumer warpgroup: while the products of tile i's scores and of tile i - 1's values run, only
// the softmax of tile i waits for the former.
__device__ __forceinline__ void attend(const MlaPrefill& p, const PrefillJob& job) {
  const int warpgroup = static_cast<int>(threadIdx.x / 128);
  const float scale_log2 = p.scale * kLog2E;
  Barriers& b = barriers();
  OnlineSoftmax softmax;
  float scores[kTile / 2], out[kMlaVHead / 2], shrink[2];
  std::uint32_t weights[kTile / 16][4];
#pragma unroll
  for (float& o : out) o = 0;

  barrier_wait(&b.queries, 0);
  start_scores(scores, warpgroup, 0);
  wgmma_wait<0>();
  wgmma_keep(scores);
  release(b.keys_free, 0);
  weigh(job, warpgroup, 0, scale_log2, softmax, scores, shrink);
  pack_weights(scores, weights);
  for (int i = 1; i < job.key_tiles; ++i) {
    start_scores(scores, warpgroup, i);
    start_values(out, weights, i - 1);
    wgmma_wait<1>();
    wgmma_keep(scores);
    release(b.keys_free, i);
    weigh(job, warpgroup, i, scale_log2, softmax, scores, shrink);
    wgmma_wait<0>();
    wgmma_keep(out);
    release(b.values_free, i - 1);
    scale_rows(out, shrink);
    pack_weights(scores, weights);
  }
  start_values(out, weights, job.key_tiles - 1);
  wgmma_wait<0>();
  wgmma_keep(out);

  float inverse[2], lse[2];
  add_up(softmax);
  finish_softmax(softmax, scale_log2, inverse, lse);
  scale_rows(out, inverse);
  write_rows(p, job, warpgroup, out, lse);
}

__global__ __launch_bounds__(kThreads,
                             1) void mla_prefill_kernel(const __grid_constant__ MlaPrefill p,
                                                        const __grid_constant__ TensorMaps maps,
                                                        int head_group) {
  Barriers& b = barriers();
  if (threadIdx.x == 0) {
    barrier_init(&b.queries, 1);
    for (int stage = 0; stage < kStages; ++stage) {
      barrier_init(&b.keys[stage], 1);
      barrier_init(&b.values[stage], 1);
      barrier_init(&b.keys_free[stage], kConsumers / 32);
      barrier_init(&b.values_free[stage], kConsumers / 32);
    }
    fence_barrier_init();
  }
  const PrefillJob job = prefill_job(p, head_group);
  __syncthreads();
  if (threadIdx.x >= kConsumers) {
    give_registers<24>();
    if (threadIdx.x == kConsumers) load_tiles(job, maps);
  } else {
    take_registers<240>();
    attend(p, job);
  }
}

TensorMap tokens_map(const Bf16* base, int tokens, int width) {
  return make_matrix_map(base, tokens, width, std::int64_t{width} * 2, kTile, 64, true);
}

// Heads whose keys and values together take about half of an H100's 50 MB of L2.
int heads_in_l2(const MlaPrefill& p) {
  constexpr std::int64_t kBytes = 24 << 20;
  const std::int64_t of_head = std::int64_t{p.keys} * (kMlaQkHead + kMlaVHead) * 2;
  return static_cast<int>(std::clamp<std::int64_t>(kBytes / of_head, 1, p.heads));
}

}  // namespace

void mla_prefill(const MlaPrefill& p, Stream stream) {
  if (p.num_tiles == 0) return;
  const TensorMaps maps = {tokens_map(p.q, p.queries, p.heads * kMlaQkHead),
                           tokens_map(p.k, p.keys, p.heads * kMlaQkHead),
                           tokens_map(p.v, p.keys, p.heads * kMlaVHead)};
  launch("mla_prefill",
         stream,
         mla_prefill_kernel,
         dim3(static_cast<unsigned>(p.num_tiles * p.heads)),
         dim3(kThreads),
         kSharedBytes,
         p,
         maps,
         p.head_group > 0 ? p.head_group : heads_in_l2(p));
}

}  // namespace moesim
