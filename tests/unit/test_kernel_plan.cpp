// How kernels cut their work into tiles: by hand, against counting one by one, and as a whole, so
// that a rule cannot change without its version.
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "model/kernel_plan.hpp"
#include "model/random.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

using Counts = std::vector<std::int64_t>;

GemmProblem grouped(std::int64_t n, const Counts& counts) {
  return {std::accumulate(counts.begin(), counts.end(), std::int64_t{0}),
          n,
          1000,
          static_cast<std::int64_t>(counts.size()),
          counts};
}

std::int64_t pick(Random& random, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random.uniform() * static_cast<double>(high - low + 1));
}

// Row by row: a new tile when the group changes or the tile is full.
std::int64_t counted_row_tiles(const Counts& counts, std::int64_t bm) {
  std::int64_t tiles = 0;
  for (const std::int64_t rows : counts)
    for (std::int64_t row = 0; row < rows; ++row) tiles += row % bm == 0 ? 1 : 0;
  return tiles;
}

// Tiles dealt out to SMs one by one; the plan is the best of the sorted candidates.
GemmPlan best_of_all(const Counts& counts, std::int64_t n, std::int64_t sms) {
  const bool fits_64 = *std::max_element(counts.begin(), counts.end()) <= 64;
  std::vector<std::pair<std::int64_t, std::int64_t>> shapes;
  for (const std::int64_t bm : {64, 128, 256})
    for (std::int64_t bn = 16; bn <= 128; bn += 16)
      if (counts.size() == 1 || bm == (fits_64 ? 64 : 128)) shapes.emplace_back(bm, bn);
  // Waves, SMs that the last one leaves idle, area, place in the list.
  std::map<std::array<std::int64_t, 4>, GemmPlan> ranked;
  for (const auto& [bm, bn] : shapes) {
    std::int64_t columns = 0;
    while (columns * bn < n) ++columns;
    const std::int64_t tiles = counted_row_tiles(counts, bm) * columns;
    std::int64_t waves = 0, busy = sms;
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      if (busy == sms) {
        busy = 0;
        ++waves;
      }
      ++busy;
    }
    const auto place = static_cast<std::int64_t>(ranked.size());
    ranked[{waves, sms - busy, bm * bn, place}] = {{bm, bn}, tiles, waves};
  }
  return ranked.begin()->second;
}

void check_same(const GemmPlan& plan, const GemmPlan& expected) {
  CHECK(plan.tile.bm == expected.tile.bm);
  CHECK(plan.tile.bn == expected.tile.bn);
  CHECK(plan.tiles == expected.tiles);
  CHECK(plan.waves == expected.waves);
}

// Score tiles that hold a pair of a query and a key it may see, and the most in a row of tiles.
PrefillPlan counted_prefill(std::int64_t seq, std::int64_t prefix) {
  std::set<std::pair<std::int64_t, std::int64_t>> tiles;
  std::map<std::int64_t, std::set<std::int64_t>> of_queries;
  for (std::int64_t query = 0; query < seq; ++query)
    for (std::int64_t key = 0; key <= prefix + query; ++key) {
      tiles.insert({query / 128, key / 128});
      of_queries[query / 128].insert(key / 128);
    }
  PrefillPlan plan;
  plan.tiles = static_cast<std::int64_t>(tiles.size());
  for (const auto& [block, keys] : of_queries)
    plan.longest = std::max(plan.longest, static_cast<std::int64_t>(keys.size()));
  return plan;
}

}  // namespace

TEST_CASE("kernel plan: tiles of rows by hand", "[kernel_plan]") {
  CHECK(row_tiles({300, 1, 1, 1, {}}, 128) == 3);
  CHECK(row_tiles({300, 1, 1, 1, {}}, 64) == 5);
  CHECK(row_tiles({400, 1, 1, 4, {}}, 128) == 4);  // 100 rows each, all padded
  CHECK(row_tiles({3, 1, 1, 8, {}}, 128) == 3);    // three of eight groups have a row
  CHECK(row_tiles({0, 1, 1, 8, {}}, 128) == 0);
  const Counts counts = {0, 1, 128, 129};
  CHECK(row_tiles(grouped(1, counts), 128) == 0 + 1 + 1 + 2);
  CHECK(used_groups(grouped(1, counts)) == 3);
  CHECK(largest_group(grouped(1, counts)) == 129);
  CHECK(used_groups({3, 1, 1, 8, {}}) == 3);
  CHECK(used_groups({300, 1, 1, 8, {}}) == 8);
  CHECK(largest_group({300, 1, 1, 8, {}}) == 38);
  const GemmPlan plan = plan_with({300, 100, 1, 1, {}}, {128, 48}, 4);
  CHECK(plan.tiles == 3 * 3);
  CHECK(plan.waves == 3);
}

TEST_CASE("kernel plan: tiles of rows against counting them", "[kernel_plan]") {
  Random random(3);
  for (int i = 0; i < 500; ++i) {
    Counts counts(static_cast<std::size_t>(pick(random, 1, 12)));
    for (std::int64_t& rows : counts) rows = std::max<std::int64_t>(0, pick(random, -100, 400));
    CAPTURE(counts);
    for (const std::int64_t bm : {64, 128, 256})
      CHECK(row_tiles(grouped(1, counts), bm) == counted_row_tiles(counts, bm));
  }
}

TEST_CASE("kernel plan: even counts are as good as none", "[kernel_plan]") {
  for (const std::int64_t groups : {1, 2, 7, 32})
    for (const std::int64_t rows : {1, 63, 64, 65, 128, 129, 500}) {
      const Counts counts(static_cast<std::size_t>(groups), rows);
      const GemmProblem with = grouped(512, counts), none{groups * rows, 512, 1000, groups, {}};
      CAPTURE(groups, rows);
      CHECK(row_tiles(with, 128) == row_tiles(none, 128));
      CHECK(used_groups(with) == used_groups(none));
      CHECK(largest_group(with) == largest_group(none));
      check_same(fewest_waves_plan(with, 132), fewest_waves_plan(none, 132));
    }
}

TEST_CASE("kernel plan: skewed counts take no fewer tiles than full even ones", "[kernel_plan]") {
  Random random(5);
  for (int i = 0; i < 500; ++i) {
    const std::int64_t groups = pick(random, 2, 16), tiles_each = pick(random, 1, 5);
    Counts counts(static_cast<std::size_t>(groups), 128 * tiles_each);
    const std::int64_t even = row_tiles(grouped(1, counts), 128);
    for (std::int64_t moves = pick(random, 1, 40); moves > 0; --moves) {
      std::int64_t& from = counts[static_cast<std::size_t>(pick(random, 0, groups - 1))];
      const std::int64_t moved = pick(random, 0, from);
      from -= moved;
      counts[static_cast<std::size_t>(pick(random, 0, groups - 1))] += moved;
    }
    CAPTURE(counts);
    CHECK(row_tiles(grouped(1, counts), 128) >= even);
  }
  // Not so where even groups leave their tiles half empty: rows that move together save padding.
  CHECK(row_tiles(grouped(1, {32, 32, 32, 32}), 128) == 4);
  CHECK(row_tiles(grouped(1, {128, 0, 0, 0}), 128) == 1);
}

TEST_CASE("kernel plan: fewest waves by hand", "[kernel_plan]") {
  // Ten tiles of 16 columns fill ten SMs once.
  check_same(fewest_waves_plan({64, 160, 1, 1, {}}, 10), {{64, 16}, 10, 1});
  // 128 x 128 in one wave: eight tiles of 64 x 32 or of 128 x 16, as large; the first of them.
  check_same(fewest_waves_plan({128, 128, 1, 1, {}}, 10), {{64, 32}, 8, 1});
  // Ten tiles in one wave: 128 x 128, or 256 x 64, which is as large and comes later.
  check_same(fewest_waves_plan({2 * 640, 128, 1, 1, {}}, 10), {{128, 128}, 10, 1});
  // In one wave only 256 rows and 128 columns fit.
  check_same(fewest_waves_plan({2560, 128, 1, 1, {}}, 10), {{256, 128}, 10, 1});
  // A group of 65 rows has a tile of 128, even where the others are small.
  CHECK(fewest_waves_plan(grouped(4096, {65, 1, 1, 1}), 132).tile.bm == 128);
  CHECK(fewest_waves_plan(grouped(4096, {64, 1, 1, 1}), 132).tile.bm == 64);
  CHECK(fewest_waves_plan(grouped(4096, {4096, 1, 1, 1}), 132).tile.bm == 128);
  // Nothing to do.
  CHECK(fewest_waves_plan({0, 4096, 7168, 8, {}}, 132).waves == 0);
  CHECK(fewest_waves_plan(grouped(4096, {0, 0, 0}), 132).tiles == 0);
}

TEST_CASE("kernel plan: fewest waves against all candidates", "[kernel_plan]") {
  Random random(11);
  for (int i = 0; i < 300; ++i) {
    Counts counts(static_cast<std::size_t>(i % 2 == 0 ? 1 : pick(random, 2, 9)));
    for (std::int64_t& rows : counts)
      rows = pick(random, 0, i % 3 == 0 ? 64 : 1 << pick(random, 0, 12));
    counts[0] = std::max<std::int64_t>(1, counts[0]);
    const std::int64_t n = pick(random, 1, 1 << pick(random, 4, 12)), sms = pick(random, 1, 140);
    CAPTURE(counts, n, sms);
    check_same(fewest_waves_plan(grouped(n, counts), sms), best_of_all(counts, n, sms));
  }
}

TEST_CASE("kernel plan: decode partitions and blocks by hand", "[kernel_plan]") {
  // FlashMLA's 66 partitions for 128 heads on 132 SMs: 64 requests of 64 + 5 blocks, then 5 more.
  const DecodePlan full = decode_plan(64, 4096, 128, 132);
  CHECK(full.partitions == 66);
  CHECK(full.blocks == (64 * 69 + 65) / 66 + 5);
  CHECK(full.blocks == 72);
  CHECK(decode_plan(64, 4096, 16, 132).partitions == 132);
  CHECK(decode_plan(64, 4096, 65, 132).partitions == 66);
  CHECK(decode_plan(64, 4096, 256, 132).partitions == 33);  // two query tokens
  CHECK(decode_plan(1, 1, 16, 132).blocks == 1 + 5);        // a partition has one of 6 blocks
  CHECK(decode_plan(1, 0, 16, 1).blocks == 5 + 5);
  CHECK(decode_plan(1, 64, 16, 1).blocks == 6 + 5);
  CHECK(decode_plan(1, 65, 16, 1).blocks == 7 + 5);
  // 16 tiles of heads on four SMs: four rounds of everything.
  CHECK(decode_plan(2, 640, 1024, 4).partitions == 1);
  CHECK(decode_plan(2, 640, 1024, 4).blocks == 4 * (2 * 15 + 5));
}

TEST_CASE("kernel plan: decode against dealing blocks out, and its order", "[kernel_plan]") {
  Random random(13);
  for (int i = 0; i < 2000; ++i) {
    const std::int64_t batch = pick(random, 1, 300), kv = pick(random, 0, 1 << pick(random, 0, 15)),
                       heads = pick(random, 1, 300), sms = pick(random, 5, 140);
    CAPTURE(batch, kv, heads, sms);
    const DecodePlan plan = decode_plan(batch, kv, heads, sms);
    // Round robin: the first partition has the most.
    std::int64_t all = 0;
    for (std::int64_t token = 0; token < kv; token += 64) all += batch;
    all += 5 * batch;
    std::int64_t first = 0;
    for (std::int64_t block = 0; block < all; block += plan.partitions) ++first;
    CHECK(plan.blocks == first + 5);
    const auto blocks = [](std::int64_t b, std::int64_t k, std::int64_t h, std::int64_t of) {
      return decode_plan(b, k, h, of).blocks;
    };
    CHECK(blocks(batch + 1, kv, heads, sms) >= plan.blocks);
    CHECK(blocks(batch, kv + pick(random, 1, 100), heads, sms) >= plan.blocks);
    CHECK(blocks(batch, kv, heads + pick(random, 1, 20000), sms) >= plan.blocks);
    CHECK(blocks(batch, kv, heads, sms + pick(random, 1, 20)) <= plan.blocks);
  }
}

TEST_CASE("kernel plan: prefill tiles against counting pairs", "[kernel_plan]") {
  for (const std::int64_t seq : {1, 2, 127, 128, 129, 255, 256, 300, 512, 513})
    for (const std::int64_t prefix : {0, 1, 127, 128, 129, 200, 256, 383}) {
      CAPTURE(seq, prefix);
      const PrefillPlan one = prefill_plan(1, seq, prefix, 1),
                        counted = counted_prefill(seq, prefix);
      CHECK(one.tiles == counted.tiles);
      CHECK(one.longest == counted.longest);
      const PrefillPlan many = prefill_plan(3, seq, prefix, 7);
      CHECK(many.tiles == 21 * counted.tiles);
      CHECK(many.longest == counted.longest);
    }
  CHECK(prefill_plan(1, 4096, 0, 128).tiles == 128 * (32 * 33 / 2));
  CHECK(prefill_plan(5, 0, 0, 7).tiles == 0);
}

// Whoever changes a rule raises kPlanVersion, and then these sums.
TEST_CASE("kernel plan: version 1 is what it was", "[kernel_plan]") {
  REQUIRE(kPlanVersion == 1);
  std::int64_t gemm = 0, decode = 0, prefill = 0;
  for (const std::int64_t m : {1, 63, 65, 128, 500, 4096, 30000})
    for (const std::int64_t n : {512, 576, 2112, 7168, 24576})
      for (const std::int64_t sms : {78, 112, 132})
        for (const std::int64_t groups : {1, 8}) {
          const GemmPlan plan = fewest_waves_plan({m, n, 7168, groups, {}}, sms);
          gemm = (31 * gemm + plan.tile.bm + 1000 * plan.tile.bn + 17 * plan.waves) % 1000003;
        }
  for (const std::int64_t batch : {1, 7, 64, 512})
    for (const std::int64_t kv : {1, 100, 4096, 131072})
      for (const std::int64_t heads : {16, 64, 128, 256, 20000})
        decode = (31 * decode + decode_plan(batch, kv, heads, 132).blocks) % 1000003;
  for (const std::int64_t seq : {1, 128, 1000, 32768})
    for (const std::int64_t prefix : {0, 100, 128, 16384})
      prefill = (31 * prefill + prefill_plan(2, seq, prefix, 16).tiles) % 1000003;
  CHECK(gemm == 192737);
  CHECK(decode == 927746);
  CHECK(prefill == 498235);
}
