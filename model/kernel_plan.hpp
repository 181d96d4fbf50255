// How a kernel cuts its work into pieces, from the shape alone: what the kernel does when it is
// launched and what the cost model assumes it does are this one header. It needs no CUDA and no
// profile. A fit on the real plan has half the error of one on a guessed plan, and a fit on a wrong
// plan is worse than guessing: change a rule here and kPlanVersion goes up, and points and profiles
// of another version are refused.
//
// GEMM: the result is cut into tiles of bm x bn, one per SM at a time; `waves` rounds are needed.
//
//   fewest_waves  what DeepGEMM did in October 2025: fewest waves, then the fullest last wave, then
//                 the smaller tile. Own kernels follow it. It counts waves and not time, so one
//                 more SM, or one row less, may give wider tiles and a slower kernel.
//
//   fastest       no plan is known (cuBLASLt, TensorRT-LLM, DeepGEMM's first release): every tile
//                 of the first release is a candidate, and the model takes the one that is fastest.
//
// Attention decode: split-KV as FlashMLA schedules it: SMs form partitions, each handles an equal
// number of 64-token blocks, and every request a partition touches costs as much as some blocks
// more.
//
// Left out: clusters and multicast, stages, split-K (none of the modelled kernels splits K).
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace moesim {

inline constexpr int kPlanVersion = 1;

enum class TileRule : std::uint8_t { fastest, fewest_waves };
inline constexpr const char* tile_rule_name(TileRule rule) {
  return rule == TileRule::fastest ? "fastest" : "fewest_waves";
}

inline constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// out[m, n] = a[m, k] b[k, n]; m rows in `groups` parts with weights of their own, `counts` of them
// each, or evenly when there are no counts.
struct GemmProblem {
  std::int64_t m = 0, n = 0, k = 0, groups = 1;
  std::span<const std::int64_t> counts = {};
};

struct GemmTile {
  std::int64_t bm = 0, bn = 0;
};

// Tiles of bm rows that hold all rows: the last of each group is padded.
inline std::int64_t row_tiles(const GemmProblem& p, std::int64_t bm) {
  if (p.counts.empty()) {
    const std::int64_t used = std::min(p.groups, p.m);
    return used > 0 ? used * ceil_div(ceil_div(p.m, p.groups), bm) : 0;
  }
  std::int64_t tiles = 0;
  for (const std::int64_t rows : p.counts) tiles += ceil_div(rows, bm);
  return tiles;
}

// Groups with any rows: the others' weights are not read.
inline std::int64_t used_groups(const GemmProblem& p) {
  if (p.counts.empty()) return std::min(p.groups, p.m);
  return std::count_if(p.counts.begin(), p.counts.end(), [](auto rows) { return rows > 0; });
}

inline std::int64_t largest_group(const GemmProblem& p) {
  return p.counts.empty() ? ceil_div(p.m, p.groups)
                          : *std::max_element(p.counts.begin(), p.counts.end());
}

struct GemmPlan {
  GemmTile tile;
  std::int64_t tiles = 0, waves = 0;
};

inline GemmPlan plan_with(const GemmProblem& p, GemmTile tile, std::int64_t sms) {
  const std::int64_t tiles = row_tiles(p, tile.bm) * ceil_div(p.n, tile.bn);
  return {tile, tiles, ceil_div(tiles, sms)};
}

// Columns of both rules: steps of 16 up to 128. Wider tiles fit an SM too, but with them the rules
// predict the published tables worse (docs/calibration.md).
inline constexpr std::int64_t kTileStep = 16, kWidestTile = 128;

// Rule `fastest`: 64 rows when no group has more, else 128.
inline std::int64_t fastest_rows(const GemmProblem& p) { return largest_group(p) <= 64 ? 64 : 128; }

// Rule `fewest_waves`: 64, 128 or, dense, 256 rows. A grouped kernel pads every group to 128 rows
// unless none has more than 64.
inline GemmPlan fewest_waves_plan(const GemmProblem& p, std::int64_t sms) {
  GemmPlan best;
  std::int64_t best_last = 0;
  for (const std::int64_t bm : {64, 128, 256}) {
    if (p.groups > 1 && bm != fastest_rows(p)) continue;
    const std::int64_t rows = row_tiles(p, bm);
    for (std::int64_t bn = kTileStep; bn <= kWidestTile; bn += kTileStep) {
      const std::int64_t tiles = rows * ceil_div(p.n, bn), waves = ceil_div(tiles, sms);
      const std::int64_t last = tiles - (waves - 1) * sms;  // tiles of the last wave
      const bool smaller = bm * bn < best.tile.bm * best.tile.bn;
      if (best.tile.bm == 0 || waves < best.waves ||
          (waves == best.waves && (last > best_last || (last == best_last && smaller)))) {
        best = {{bm, bn}, tiles, waves};
        best_last = last;
      }
    }
  }
  return best;
}

// 64-token blocks of the fullest partition, `overhead` blocks for each request included.
struct DecodePlan {
  std::int64_t partitions = 0, blocks = 0;
};
inline constexpr std::int64_t kDecodeBlock = 64, kDecodeHeadTile = 64, kDecodeRequestBlocks = 5;

inline DecodePlan decode_plan(std::int64_t batch,
                              std::int64_t kv_len,
                              std::int64_t query_heads,  // heads times query tokens
                              std::int64_t sms) {
  DecodePlan plan;
  const std::int64_t head_tiles = ceil_div(query_heads, kDecodeHeadTile);
  plan.partitions = std::max<std::int64_t>(1, sms / head_tiles);
  const std::int64_t of_request = ceil_div(kv_len, kDecodeBlock) + kDecodeRequestBlocks;
  plan.blocks = ceil_div(batch * of_request, plan.partitions) + kDecodeRequestBlocks;
  plan.blocks *= ceil_div(head_tiles, sms);  // 1 unless there are more tiles of heads than SMs
  return plan;
}

// Causal prefill: 128 x 128 tiles of the score matrix that hold any pair.
inline constexpr std::int64_t kAttentionTile = 128;
struct PrefillPlan {
  std::int64_t tiles = 0;    // of all requests and heads
  std::int64_t longest = 0;  // of one block of queries: no schedule is shorter
};
inline PrefillPlan prefill_plan(std::int64_t batch,
                                std::int64_t seq,
                                std::int64_t prefix,
                                std::int64_t heads) {
  const std::int64_t q = ceil_div(seq, kAttentionTile);
  PrefillPlan plan;
  plan.longest = ceil_div(prefix + seq, kAttentionTile);
  // Query block i ends at token min(seq, 128 (i + 1)): an arithmetic series but for the last.
  const std::int64_t whole_prefix = prefix / kAttentionTile, rest = prefix % kAttentionTile;
  const std::int64_t extra = rest > 0 ? 1 : 0;
  plan.tiles = batch * heads * ((q - 1) * (whole_prefix + extra) + q * (q - 1) / 2 + plan.longest);
  return plan;
}

}  // namespace moesim
