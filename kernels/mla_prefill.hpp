// Causal attention of new tokens behind a prefix, with query-key heads of 192 and value heads of
// 128 (latent attention before absorption): query i of a request sees keys 0 ... prefix + i.
// Requests of any lengths follow each other without padding.
//
// Tiles of 128 queries x 128 keys (kAttentionTile, model/kernel_plan.hpp). A thread block takes one
// tile of queries of one head: a warp that loads, and two warpgroups of 64 queries each, in which
// the scores of one tile of keys are multiplied while the softmax of the one before is taken
// (FlashAttention-3, arXiv:2407.08608, section 3.2).
//
// Decided: one tile of queries per thread block, longest first, so that the hardware deals them out
// as SMs fall free. Rejected for now: a persistent grid, which hides the first load of each tile.
//
// Left out: FP8, dropout, windows, fewer key heads than query heads. Rows that pad a request's last
// tile are its neighbour's: finite values there never change a result, NaN in a neighbour may.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"
#include "model/kernel_plan.hpp"

namespace moesim {

inline constexpr int kMlaQkHead = 192, kMlaVHead = 128;

// Queries 128 * block ... of a request.
struct MlaPrefillTile {
  std::int32_t request, block;
};

// Keys that any query of a tile sees, of a request's: the kernel takes them 128 at a time.
__host__ __device__ inline std::int32_t mla_prefill_keys(std::int32_t queries,
                                                         std::int32_t keys,
                                                         std::int32_t block) {
  constexpr auto kTile = static_cast<std::int32_t>(kAttentionTile);
  const std::int32_t end = (block + 1) * kTile;
  return keys - queries + (end < queries ? end : queries);
}

// Those of all requests, the one with the most keys first. [batch + 1]: where in q and k each
// request's rows begin; the last is where they end.
std::vector<MlaPrefillTile> mla_prefill_tiles(std::span<const std::int32_t> first_query,
                                              std::span<const std::int32_t> first_key);

struct MlaPrefill {
  const Bf16* q;                    // [queries of all requests, heads, 192]
  const Bf16* k;                    // [keys of all requests, heads, 192], prefixes included
  const Bf16* v;                    // [keys of all requests, heads, 128]
  const std::int32_t* first_query;  // [batch + 1]
  const std::int32_t* first_key;    // [batch + 1]; a request has at least as many keys as queries
  Bf16* out;                        // [queries, heads, 128]
  float* lse;                       // [heads, queries], natural logarithm
  std::int32_t batch, heads, queries, keys;  // of all requests
  float scale;                               // of the scores

  const MlaPrefillTile* tiles;  // mla_prefill_tiles, on the device; not read by mla_prefill_naive
  std::int32_t num_tiles;
  std::int32_t head_group = 0;  // heads that are worked on at a time; 0: those that fit in the L2
};

void mla_prefill(const MlaPrefill& p, Stream stream);
void mla_prefill_naive(const MlaPrefill& p, Stream stream);

}  // namespace moesim
