// The forms of a kernel's time: closed cases by hand, limits, and what more work or more SMs may
// do.
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "model/kernel_model.hpp"
#include "model/random.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

using Counts = std::vector<std::int64_t>;

// 10 SMs of 1 TFLOP/s each; nothing else takes time unless a test says so.
GpuSpec simple_gpu() {
  GpuSpec gpu;
  gpu.name = "simple";
  gpu.num_sms = 10;
  gpu.hbm_bandwidth = 1e9 * TB_per_s;
  return gpu;
}
constexpr FlopRate kPeak = 10 * TFLOP_per_s;

GemmModel simple_gemm(TileRule rule = TileRule::fastest) {
  GemmModel g;
  g.rule = rule;
  g.mma_efficiency = 1;
  g.load = g.store = 1e9 * TB_per_s;
  g.hbm_efficiency = 1;
  return g;
}
double gemm_ns(const GemmModel& g,
               const GemmProblem& p,
               std::int64_t sms = 10,
               const GpuSpec& gpu = simple_gpu()) {
  return gemm_base_time(g, kPeak, gpu, p, 1, g.out_bytes, sms).in(ns);
}
// Bound by memory alone: one byte a nanosecond, products for nothing.
double moved_ns(const GemmProblem& p, double in_bytes, double out_bytes, double efficiency = 1) {
  GpuSpec gpu = simple_gpu();
  gpu.hbm_bandwidth = 1 * GB_per_s;
  GemmModel g = simple_gemm();
  g.hbm_efficiency = efficiency;
  return gemm_base_time(g, 1e9 * kPeak, gpu, p, in_bytes, out_bytes, 10).in(ns);
}

// What DeepGEMM's first release was fitted with on an H800 (its published profile).
GemmModel real_gemm(TileRule rule) {
  GemmModel g = simple_gemm(rule);
  g.mma_efficiency = 0.72;
  g.load = 115 * GB_per_s;
  g.store = 16 * GB_per_s;
  g.overhead = 1.5 * us;
  g.hbm_efficiency = 0.83;
  return g;
}
double real_us(const GemmModel& g, const GemmProblem& p, std::int64_t sms) {
  GpuSpec gpu;
  gpu.num_sms = 132;
  gpu.hbm_bandwidth = 3.35 * TB_per_s;
  return gemm_base_time(g, 1979 * TFLOP_per_s, gpu, p, 1, 2, sms).in(us);
}

AttentionModel simple_attention() {
  AttentionModel a;
  a.rate = 10 * TFLOP_per_s;
  a.sms = 10;
  return a;
}
Flop attention_flops(const AttentionShape& x) {
  return 2.0 * static_cast<double>(x.batch * x.heads * x.seq) *
         (static_cast<double>(x.prefix) + static_cast<double>(x.seq) / 2) *
         static_cast<double>(x.qk_head_dim + x.v_head_dim) * FLOP;
}
double attention_us(const AttentionShape& x,
                    std::int64_t sms = 10,
                    const AttentionModel& a = simple_attention()) {
  return attention_base_time(a, x, attention_flops(x), Bytes(), 1 * TB_per_s, sms).in(us);
}

std::int64_t pick(Random& random, double low, double high) {
  return static_cast<std::int64_t>(low * std::pow(high / low, random.uniform()));
}

}  // namespace

TEST_CASE("rounded max: its limits", "[kernel_model]") {
  CHECK(rounded_max(3, 4, 2) == Approx(5));
  CHECK(rounded_max(4, 3, 2) == Approx(5));
  CHECK(rounded_max(3, 4, 1) == Approx(7));    // one after the other
  CHECK(rounded_max(3, 4, 100) == Approx(4));  // the larger alone
  CHECK(rounded_max(1, 1, 4) == Approx(std::pow(2, 0.25)));
  CHECK(rounded_max(0, 4, 4) == 4);
  CHECK(rounded_max(4, 0, 1) == 4);
  CHECK(rounded_max(0, 0, 4) == 0);
  CHECK(rounded_max(1e-300, 1, 100) == 1);  // no underflow into NaN
  CHECK(rounded_max(1e300, 1e300, 100) == Approx(1e300 * std::pow(2, 0.01)));
  Random random(1);
  for (int i = 0; i < 200; ++i) {
    const double a = random.uniform(), b = random.uniform(), p = 1 + 20 * random.uniform();
    const double t = rounded_max(a, b, p);
    CHECK(t >= std::max(a, b));
    CHECK(t <= a + b + 1e-12);
    CHECK(rounded_max(a, b, 1.1 * p) <= t);
  }
}

TEST_CASE("gemm form: tiles, waves and SMs by hand", "[kernel_model]") {
  const GemmModel g = simple_gemm();
  // One tile of 128 x 128 x 1000 on one SM of 1 TFLOP/s: 32.768 MFLOP are 32.768 us.
  CHECK(gemm_ns(g, {128, 128, 1000, 1, {}}, 1) == Approx(32768));
  // 10 SMs take eight 16-column tiles at once: 128 x 16 x 1000 x 2 = 4.096 MFLOP each.
  CHECK(gemm_ns(g, {128, 128, 1000, 1, {}}) == Approx(4096));
  // 100 columns on one SM are 112: seven tiles of 16 one after the other, or one of 112.
  CHECK(gemm_ns(g, {128, 100, 1000, 1, {}}, 1) == Approx(28672));
  // Up to 64 rows in a group, a tile has 64: half the work; the 65th row brings the other half.
  CHECK(gemm_ns(g, {1, 128, 1000, 1, {}}, 1) == Approx(16384));
  CHECK(gemm_ns(g, {64, 128, 1000, 1, {}}, 1) == Approx(16384));
  CHECK(gemm_ns(g, {65, 128, 1000, 1, {}}, 1) == Approx(32768));
  // 11 row tiles of 128 columns on 10 SMs: two waves of 128 columns take 65.536 us, the 88 tiles of
  // 16 columns nine waves of 4.096.
  CHECK(gemm_ns(g, {11 * 128, 128, 1000, 1, {}}) == Approx(9 * 4096));
  // Four groups of 100 rows are four padded row tiles.
  CHECK(gemm_ns(g, {400, 128, 1000, 4, {}}, 1) == Approx(4 * 32768));
}

TEST_CASE("gemm form: the slower of operands and products, then the rest", "[kernel_model]") {
  const GemmProblem tile{128, 128, 1000, 1, {}};
  GemmModel g = simple_gemm();
  g.load = 1 * GB_per_s;  // 256 bytes of operands per k: 256 us, whatever the tensor cores do
  CHECK(gemm_ns(g, tile, 1) == Approx(256000));
  g = simple_gemm();
  g.store = 1 * GB_per_s;  // 128 x 128 x 2 bytes come after the products
  CHECK(gemm_ns(g, tile, 1) == Approx(32768 + 32768));
  g.out_bytes = 8;
  CHECK(gemm_ns(g, tile, 1) == Approx(32768 + 4 * 32768));
  g = simple_gemm();
  g.overhead = 5 * us;
  CHECK(gemm_ns(g, tile, 1) == Approx(37768));
  g = simple_gemm();
  g.mma_efficiency = 0.5;
  CHECK(gemm_ns(g, tile, 1) == Approx(65536));
  // The pipeline fills once a wave: 3 us in each of two waves, so fewer waves of wider tiles win.
  g = simple_gemm();
  g.fill = 3 * us;
  CHECK(gemm_ns(g, {256, 128, 1000, 1, {}}, 1) == Approx(2 * (32768 + 3000)));
}

TEST_CASE("gemm form: memory alone, and both at once", "[kernel_model]") {
  const GemmProblem tile{128, 128, 1000, 1, {}};
  const double moved = 256 * 1000 + 2 * 128 * 128;  // operands once, results once
  CHECK(moved_ns(tile, 1, 2) == Approx(moved));
  CHECK(moved_ns(tile, 1, 2, 0.8) == Approx(moved / 0.8));
  CHECK(moved_ns(tile, 2, 4) == Approx(2 * moved));
  GpuSpec gpu = simple_gpu();  // each takes 32.768 us alone
  gpu.hbm_bandwidth = moved * B / (32768 * ns);
  GemmModel g = simple_gemm();
  CHECK(gemm_ns(g, tile, 1, gpu) == Approx(32768 * std::pow(2, 0.25)));
  g.norm = 1;
  CHECK(gemm_ns(g, tile, 1, gpu) == Approx(2 * 32768));
  g.norm = 100;
  CHECK(gemm_ns(g, tile, 1, gpu) == Approx(32768).epsilon(0.01));
}

TEST_CASE("gemm form: nothing to do costs the launch", "[kernel_model]") {
  for (const TileRule rule : {TileRule::fastest, TileRule::fewest_waves}) {
    const GemmModel g = real_gemm(rule);
    CHECK(real_us(g, {0, 4096, 7168, 1, {}}, 132) == Approx(1.5));
    CHECK(real_us(g, {0, 4096, 7168, 8, {}}, 132) == Approx(1.5));
    const Counts none(8, 0);
    CHECK(real_us(g, {0, 4096, 7168, 8, none}, 132) == Approx(1.5));
  }
}

TEST_CASE("gemm form: an expert without rows reads no weights", "[kernel_model]") {
  const Counts all = {50, 50, 50, 50}, half = {100, 0, 100, 0}, one = {200, 0, 0, 0};
  const auto bytes = [](double experts) { return 200 * 300 + experts * 400 * 300 + 2 * 200 * 400; };
  CHECK(moved_ns({200, 400, 300, 4, all}, 1, 2) == Approx(bytes(4)));
  CHECK(moved_ns({200, 400, 300, 4, half}, 1, 2) == Approx(bytes(2)));
  CHECK(moved_ns({200, 400, 300, 4, one}, 1, 2) == Approx(bytes(1)));
  CHECK(moved_ns({200, 400, 300, 4, {}}, 1, 2) == Approx(bytes(4)));
  CHECK(moved_ns({2, 400, 300, 4, {}}, 1, 2) == Approx(2 * 300 + 2 * 400 * 300 + 2 * 2 * 400));
}

TEST_CASE("gemm form: even counts are as good as none, skewed ones cost more", "[kernel_model]") {
  for (const TileRule rule : {TileRule::fastest, TileRule::fewest_waves}) {
    const GemmModel g = real_gemm(rule);
    const Counts even(8, 512), skewed = {3, 1000, 1, 20, 2000, 5, 1060, 7};
    const GemmProblem none{4096, 4096, 7168, 8, {}}, with{4096, 4096, 7168, 8, even},
        uneven{4096, 4096, 7168, 8, skewed};
    CHECK(real_us(g, with, 132) == real_us(g, none, 132));
    CHECK(gemm_axes(with) == gemm_axes(none));
    CHECK(real_us(g, uneven, 132) > 1.05 * real_us(g, none, 132));
  }
}

TEST_CASE("gemm form: the plan with fewest waves is what is timed", "[kernel_model]") {
  const GemmModel g = simple_gemm(TileRule::fewest_waves);
  // Ten tiles of 128 x 128; then six of 256 x 128, still one wave, where the fastest are nine waves
  // of 16 columns.
  CHECK(gemm_ns(g, {1280, 128, 1000, 1, {}}) == Approx(32768));
  CHECK(gemm_ns(g, {1408, 128, 1000, 1, {}}) == Approx(65536));
  CHECK(gemm_ns(simple_gemm(), {1408, 128, 1000, 1, {}}) == Approx(9 * 4096));
  Random random(19);
  for (int i = 0; i < 200; ++i) {
    const GemmProblem p{pick(random, 1, 9000), pick(random, 16, 9000), 1000, 1, {}};
    const std::int64_t sms = pick(random, 1, 140);
    const GemmPlan plan = fewest_waves_plan(p, sms);
    const double area = static_cast<double>(plan.tile.bm * plan.tile.bn);
    CAPTURE(p.m, p.n, sms);
    CHECK(gemm_ns(g, p, sms) == Approx(static_cast<double>(plan.waves) * area * 2));
    CHECK(gemm_ns(simple_gemm(), p, 1) <= gemm_ns(g, p, 1) * (1 + 1e-12));
  }
}

TEST_CASE("gemm form: more SMs are never slower where the fastest tile is taken",
          "[kernel_model]") {
  const GemmModel g = real_gemm(TileRule::fastest);
  Random random(23);
  for (int i = 0; i < 3000; ++i) {
    const GemmProblem p{
        pick(random, 1, 40000), pick(random, 16, 40000), pick(random, 64, 20000), 1, {}};
    const std::int64_t sms = pick(random, 1, 132), more = pick(random, 1, 30);
    CAPTURE(p.m, p.n, p.k, sms, more);
    CHECK(real_us(g, p, sms + more) <= real_us(g, p, sms));
  }
}

TEST_CASE("gemm form: one more SM may be slower where waves are counted, and how often",
          "[kernel_model]") {
  // 300 x 512 on 63 SMs: 55 tiles of 64 x 48. On 64 SMs the 64 tiles of 256 x 16 fill the wave
  // exactly, and each loads more than twice as much.
  CHECK(fewest_waves_plan({300, 512, 7168, 1, {}}, 63).tile.bm == 64);
  CHECK(fewest_waves_plan({300, 512, 7168, 1, {}}, 63).tile.bn == 48);
  CHECK(fewest_waves_plan({300, 512, 7168, 1, {}}, 64).tile.bm == 256);
  CHECK(fewest_waves_plan({300, 512, 7168, 1, {}}, 64).tile.bn == 16);
  const GemmModel g = real_gemm(TileRule::fewest_waves);
  CHECK(real_us(g, {300, 512, 7168, 1, {}}, 64) > 2 * real_us(g, {300, 512, 7168, 1, {}}, 63));
  int cases = 0, slower = 0;
  double worst = 1;
  for (const std::int64_t m : {1, 64, 65, 128, 192, 256, 300, 512, 1024, 1500, 2048, 4096, 8192})
    for (const std::int64_t n : {512, 576, 1024, 1536, 2112, 4096, 7168, 24576})
      for (std::int64_t sms = 20; sms < 132; ++sms) {
        const GemmProblem p{m, n, 7168, 1, {}};
        const double ratio = real_us(g, p, sms + 1) / real_us(g, p, sms);
        ++cases;
        if (ratio > 1 + 1e-9) ++slower;
        worst = std::max(worst, ratio);
      }
  CHECK(slower > 0);
  CHECK(slower < cases / 100);
  CHECK(worst < 2.5);
}

TEST_CASE("gemm form: the axes of a residual", "[kernel_model]") {
  const GemmAxes dense = gemm_axes({4096, 2048, 1024, 1, {}});
  CHECK(dense == GemmAxes{12, 11, 10, 2});  // full tiles
  CHECK(gemm_axes({4096 + 64, 2048, 1024, 1, {}})[3] == Approx(2 * 32.5 / 33));
  CHECK(gemm_axes({16, 2048, 1024, 1, {}})[3] == Approx(0.5));  // of 64 rows
  CHECK(gemm_axes({129, 2048, 1024, 1, {}})[3] == Approx(2. * 129 / 256));
  const Counts counts = {64, 0, 0, 192};  // 128 rows of a mean used group, 1.5 tiles in the largest
  const GemmAxes grouped = gemm_axes({256, 2048, 1024, 4, counts});
  CHECK(grouped[0] == Approx(7));
  CHECK(grouped[3] == Approx(1.5));
  const GemmAxes none = gemm_axes({0, 2048, 1024, 4, {}});
  CHECK(none == GemmAxes{0, 11, 10, 0});
}

TEST_CASE("attention form: by hand", "[kernel_model]") {
  // One head of 192 + 128: a full tile is 128 x 128 x 320 x 2 = 10.486 MFLOP on 1 TFLOP/s. A
  // sequence of 1280 has 55 tiles that hold a pair, in ten blocks of queries on ten SMs: the last
  // block has ten tiles, which is longer than 5.5.
  const double tile_us = 128. * 128 * 320 * 2 / 1e6;
  CHECK(attention_us({1, 1280, 0, 1, 192, 128}) == Approx(10 * tile_us));
  CHECK(attention_us({1, 1280, 0, 20, 192, 128}) == Approx(55 * 20 / 10. * tile_us));
  CHECK(attention_us({20, 1280, 0, 1, 192, 128}) == Approx(55 * 20 / 10. * tile_us));
  CHECK(attention_us({1, 1280, 0, 20, 192, 128}, 5) == Approx(55 * 20 / 5. * tile_us));
  CHECK(attention_us({1, 1280, 0, 1, 192, 128}, 1) == Approx(55 * tile_us));
  AttentionModel a = simple_attention();
  a.overhead = 7 * us;
  CHECK(attention_us({1, 1280, 0, 1, 192, 128}, 10, a) == Approx(7 + 10 * tile_us));
  CHECK(attention_us({1, 0, 0, 1, 192, 128}, 10, a) == 7);  // nothing to do
  CHECK(attention_us({0, 1280, 0, 1, 192, 128}, 10, a) == 7);
}

TEST_CASE("attention form: heads and sequences at scale", "[kernel_model]") {
  for (const std::int64_t seq : {1024, 4096, 16384}) {
    const double one = attention_us({1, seq, 0, 128, 192, 128});
    CHECK(attention_us({1, seq, 0, 256, 192, 128}) == Approx(2 * one));
    CHECK(attention_us({2, seq, 0, 128, 192, 128}) == Approx(2 * one));
    CHECK(attention_us({1, seq, 0, 128, 192, 128}, 5) == Approx(2 * one));
    // The diagonal's tiles are half empty: a little less than four times the time.
    const double tiles = static_cast<double>(seq) / 128;
    CHECK(attention_us({1, 2 * seq, 0, 128, 192, 128}) / one ==
          Approx(2 * (2 * tiles + 1) / (tiles + 1)));
  }
}

TEST_CASE("attention form: tokens behind a prefix are a longer sequence without it",
          "[kernel_model]") {
  for (const std::int64_t prefix : {128, 1024, 8192})
    for (const std::int64_t seq : {128, 512, 4096}) {
      CAPTURE(prefix, seq);
      CHECK(attention_us({1, seq, prefix, 128, 192, 128}) ==
            Approx(attention_us({1, prefix + seq, 0, 128, 192, 128}) -
                   attention_us({1, prefix, 0, 128, 192, 128})));
    }
}

TEST_CASE("attention form: backward work, and bytes", "[kernel_model]") {
  // Five products instead of two: (3 x 192 + 2 x 128) / (192 + 128) = 2.6 times the FLOPs.
  const AttentionModel a = simple_attention();
  const AttentionShape x{1, 4096, 0, 128, 192, 128};
  const Flop forward = attention_flops(x);
  const auto time = [&](const AttentionModel& model, Flop flops, Bytes bytes) {
    return attention_base_time(model, x, flops, bytes, 1 * TB_per_s, 10).in(us);
  };
  CHECK(time(a, 2.6 * forward, Bytes()) == Approx(2.6 * time(a, forward, Bytes())));
  CHECK(time(a, forward, 1 * TB) == Approx(1e6));  // the datasheet's rate
  AttentionModel slow = a;
  slow.bandwidth = 0.5 * TB_per_s;
  CHECK(time(slow, forward, 1 * TB) == Approx(2e6));
  CHECK(time(slow, forward, 1 * B) == Approx(time(a, forward, Bytes())));
  // The rate is that of `sms` SMs.
  AttentionModel half = a;
  half.sms = 5;
  CHECK(time(half, forward, Bytes()) == Approx(time(a, forward, Bytes()) / 2));
}

TEST_CASE("attention form: more work and fewer SMs are never faster", "[kernel_model]") {
  Random random(29);
  for (int i = 0; i < 2000; ++i) {
    const AttentionShape x{
        pick(random, 1, 9), pick(random, 1, 9000), pick(random, 1, 9000) - 1, 16, 192, 128};
    const std::int64_t sms = pick(random, 1, 132);
    CAPTURE(x.batch, x.seq, x.prefix, sms);
    const double t = attention_us(x, sms);
    CHECK(t > 0);
    // No faster than its FLOPs at the rate.
    CHECK(t * (1 + 1e-12) >=
          (attention_flops(x) / (static_cast<double>(sms) * TFLOP_per_s)).in(us));
    const double slack = 1e-12 * t;
    CHECK(attention_us(x, sms + 1) <= t + slack);
    AttentionShape more = x;
    more.batch += 1;
    CHECK(attention_us(more, sms) >= t - slack);
    more = x;
    more.heads += 1;
    CHECK(attention_us(more, sms) >= t - slack);
  }
}

TEST_CASE("decode form: by hand and at its limits", "[kernel_model]") {
  DecodeModel d;
  d.block = 2 * us;
  d.overhead = 10 * us;
  d.bandwidth = 1 * TB_per_s;
  d.norm = 4;
  d.sms = 132;
  const auto time = [&](std::int64_t batch, std::int64_t kv, Bytes bytes) {
    return decode_base_time(d, batch, kv, 128, bytes, 132).in(us);
  };
  CHECK(time(64, 4096, Bytes()) == Approx(10 + 72 * 2));  // the plan's 72 blocks
  CHECK(time(1, 1, 1 * GB) == Approx(10 + 1000).epsilon(1e-6));
  CHECK(time(64, 4096, 144 * MB) == Approx(10 + 144 * std::pow(2, 0.25)));
  d.norm = 1;
  CHECK(time(64, 4096, 144 * MB) == Approx(10 + 2 * 144));
  // Half the SMs have half the partitions.
  CHECK(decode_base_time(d, 66, 4096, 128, Bytes(), 132).in(us) == Approx(10 + 2 * (69 + 5)));
  CHECK(decode_base_time(d, 66, 4096, 128, Bytes(), 66).in(us) == Approx(10 + 2 * (138 + 5)));
}

TEST_CASE("attention and decode forms: axes of a residual", "[kernel_model]") {
  using Axes = std::array<double, 3>;
  CHECK(attention_axes({2, 1024, 3072, 64, 192, 128}) == Axes{10, 7, 12});
  CHECK(decode_axes({32, 2, 4096, 128, 576, 512}) == Axes{5, 12, 8});
  // Nothing has the place of one: no logarithm of 0.
  CHECK(attention_axes({0, 0, 0, 0, 192, 128}) == Axes{0, 0, 0});
  CHECK(decode_axes({1, 1, 0, 1, 576, 512}) == Axes{0, 0, 0});
}
