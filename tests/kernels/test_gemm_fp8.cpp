// The FP8 GEMMs, dense, grouped and masked, on the emulated GPU against the cases' references.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "calibrate/cases/cases.hpp"
#include "calibrate/reference.hpp"
#include "calibrate/reference_fp8.hpp"
#include "kernels/gemm_fp8.hpp"
#include "tests/catch.hpp"
#include "tests/kernels/arrays.hpp"
#include "tests/kernels/scale_major.hpp"

namespace moesim {
namespace {

constexpr std::uint64_t kSeed = 11;
constexpr std::int64_t kGpuSms = 132;

using Run = void (*)(const GemmFp8&, Stream);

double error_of(Run run, const Shape& shape, std::int64_t sms) {
  const Experiment& experiment = *kGemmFp8Case.experiment;
  const Call call = {shape, {}, sms, false};
  const Arrays in = experiment.inputs(call, kSeed);
  const std::vector<E4m3> a = e4m3_array(in[0].values), b = e4m3_array(in[2].values);
  const std::vector<float> a_scale =
      scale_major(in[1].values.data(), shape[0], ceil_div(shape[2], kScaleBlock));
  std::vector<Bf16> out = poisoned_bf16(shape[0] * shape[1]);
  run({shape[0],
       shape[1],
       shape[2],
       a.data(),
       a_scale.data(),
       scale_major_ld(shape[0]),
       b.data(),
       in[3].values.data(),
       out.data(),
       sms},
      nullptr);
  return relative_l2(float_array(out), experiment.outputs(call, in)[0].values);
}

struct GroupedInputs {
  Call call;
  Arrays in;
  std::vector<E4m3> a, b;
  std::vector<std::int32_t> counts;
  std::vector<float> expected;
};

GroupedInputs grouped_inputs(const Call& call) {
  const Experiment& experiment = *kGroupedGemmFp8Case.experiment;
  GroupedInputs all;
  all.call = call;
  all.in = experiment.inputs(call, kSeed);
  all.a = e4m3_array(all.in[0].values);
  all.b = e4m3_array(all.in[2].values);
  const std::int64_t groups = call.shape[0], m = call.shape[1];
  for (std::int64_t g = 0; g < groups; ++g)
    all.counts.push_back(static_cast<std::int32_t>(
        call.counts.empty() ? m / groups + (g < m % groups ? 1 : 0) : call.counts[g]));
  all.expected = experiment.outputs(call, all.in)[0].values;
  return all;
}

using GroupedRun = void (*)(const GroupedGemmFp8&, Stream);

double error_of_grouped(GroupedRun run,
                        const Call& call,
                        std::int64_t sms,
                        const std::vector<std::int64_t>& expected_counts) {
  const GroupedInputs all = grouped_inputs(call);
  const std::int64_t m = call.shape[1], n = call.shape[2], k = call.shape[3];
  const std::vector<float> a_scale =
      scale_major(all.in[1].values.data(), m, ceil_div(k, kScaleBlock));
  std::vector<Bf16> out = poisoned_bf16(m * n);
  GroupedGemmFp8 arguments;
  arguments.groups = call.shape[0];
  arguments.m = m;
  arguments.n = n;
  arguments.k = k;
  arguments.a = all.a.data();
  arguments.a_scale = a_scale.data();
  arguments.a_scale_ld = scale_major_ld(m);
  arguments.b = all.b.data();
  arguments.b_scale = all.in[3].values.data();
  arguments.counts = all.counts.data();
  arguments.out = out.data();
  arguments.expected_counts = expected_counts;
  arguments.sms = sms;
  run(arguments, nullptr);
  return relative_l2(float_array(out), all.expected);
}

// The same rows, each group's in a room of its own. Rows that are not used hold NaN codes and
// scales, and their outputs have to stay as they were.
double error_of_masked(const Call& call, std::int64_t sms, std::int64_t expected_rows) {
  const GroupedInputs all = grouped_inputs(call);
  const std::int64_t groups = call.shape[0], n = call.shape[2], k = call.shape[3];
  const std::int64_t blocks = ceil_div(k, kScaleBlock);
  const std::int64_t room = *std::max_element(all.counts.begin(), all.counts.end()) + 3;
  std::vector<E4m3> a(static_cast<std::size_t>(groups * room * k), E4m3{0x7f});
  std::vector<float> a_scale;
  std::int64_t first = 0;
  for (std::int64_t g = 0; g < groups; ++g) {
    std::copy_n(all.a.begin() + first * k, all.counts[g] * k, a.begin() + g * room * k);
    std::vector<float> scales(static_cast<std::size_t>(room * blocks),
                              std::numeric_limits<float>::quiet_NaN());
    std::copy_n(all.in[1].values.begin() + first * blocks, all.counts[g] * blocks, scales.begin());
    const std::vector<float> of_group = scale_major(scales.data(), room, blocks);
    a_scale.insert(a_scale.end(), of_group.begin(), of_group.end());
    first += all.counts[g];
  }
  std::vector<Bf16> out = poisoned_bf16(groups * room * n);
  MaskedGemmFp8 arguments;
  arguments.groups = groups;
  arguments.max_rows = room;
  arguments.n = n;
  arguments.k = k;
  arguments.a = a.data();
  arguments.a_scale = a_scale.data();
  arguments.a_scale_ld = scale_major_ld(room);
  arguments.b = all.b.data();
  arguments.b_scale = all.in[3].values.data();
  arguments.counts = all.counts.data();
  arguments.out = out.data();
  arguments.expected_rows = expected_rows;
  arguments.sms = sms;
  masked_gemm_fp8(arguments, nullptr);
  std::vector<float> found;
  int touched = 0;
  for (std::int64_t g = 0; g < groups; ++g)
    for (std::int64_t i = 0; i < room * n; ++i) {
      const Bf16 value = out[static_cast<std::size_t>(g * room * n + i)];
      if (i < all.counts[g] * n)
        found.push_back(to_float(value));
      else
        touched += value.bits == 0x7fff ? 0 : 1;
    }
  CHECK(touched == 0);
  return relative_l2(found, all.expected);
}

// BF16 has 8 bits: rounding alone is a relative error of about 2^-9 / sqrt(3) = 1.1e-3. A bound
// near it sees a wrong row or scale block that the case's tolerance might let pass.
constexpr double kRounding = 2.2e-3;

}  // namespace

TEST_CASE("gemm_fp8 at the shapes it is checked at on a GPU") {
  for (const Call& call : kGemmFp8Case.experiment->checks())
    for (const std::int64_t sms : {kGpuSms, std::int64_t{1}}) {
      CAPTURE(shape_text(kGemmFp8Case, call.shape), sms);
      CHECK(error_of(gemm_fp8, call.shape, sms) < kRounding);
      CHECK(error_of(gemm_fp8_naive, call.shape, sms) < kRounding);
    }
}

// One SM takes every tile in turn; the rules choose each of the tiles below for some n.
TEST_CASE("gemm_fp8 with tiles of 64, 128 and 256 rows and all widths") {
  std::vector<GemmTile> seen;
  for (const std::int64_t m : {64, 128, 256})
    for (std::int64_t n = kTileStep; n <= kWidestTile; n += kTileStep) {
      CAPTURE(m, n);
      seen.push_back(fewest_waves_plan({m, n, 256, 1, {}}, 1).tile);
      CHECK(seen.back().bm == m);
      CHECK(seen.back().bn == n);
      CHECK(error_of(gemm_fp8, {m, n, 256}, 1) < kRounding);
    }
  CHECK(seen.size() == 24);
}

// Deeper than the ring has stages, with several tiles a block; k that ends inside a scale block.
TEST_CASE("gemm_fp8 goes round its ring and over tiles", "[both_orders]") {
  for (const Shape& shape : {Shape{70, 208, 1536}, Shape{300, 240, 1152}, Shape{5, 272, 144}})
    for (const std::int64_t sms : {1, 3}) {
      CAPTURE(shape_text(kGemmFp8Case, shape), sms);
      CHECK(error_of(gemm_fp8, shape, sms) < kRounding);
    }
}

// 17 and more row tiles: more than one band.
TEST_CASE("gemm_fp8 covers every tile of several bands") {
  CHECK(error_of(gemm_fp8, {4200, 32, 128}, 2) < kRounding);
}

// Sizes by hash: dense, and as many rows cut into groups at random places.
TEST_CASE("FP8 GEMMs of sizes that nobody picked") {
  constexpr std::uint64_t kShapes = 12;
  const auto pick = [](std::uint64_t seed, std::uint64_t what, double most) {
    constexpr double kLargestNormal = 4.9;
    const double value = std::abs(normal_values(1, seed, what)[0]) / kLargestNormal;
    return static_cast<std::int64_t>(value * most) + 1;
  };
  for (std::uint64_t seed = 0; seed < kShapes; ++seed) {
    const std::int64_t m = pick(seed, 0, 700), n = 16 * pick(seed, 1, 40),
                       k = 16 * pick(seed, 2, 80), sms = pick(seed, 3, 12);
    CAPTURE(seed, m, n, k, sms);
    CHECK(error_of(gemm_fp8, {m, n, k}, sms) < kRounding);
    const std::int64_t groups = pick(seed, 4, 10);
    Call call = {{groups, m, n, k}, std::vector<std::int64_t>(groups), sms, false};
    for (std::int64_t left = m, g = 0; left > 0; g = (g + 1) % groups) {
      const std::int64_t rows = std::min(left, pick(seed, 5 + static_cast<std::uint64_t>(g), 300));
      call.counts[g] += rows;
      left -= rows;
    }
    CAPTURE(call.counts);
    CHECK(error_of_grouped(grouped_gemm_fp8, call, sms, call.counts) < kRounding);
    CHECK(error_of_masked(call, sms, 0) < kRounding);
  }
}

TEST_CASE("grouped_gemm_fp8 at the shapes it is checked at on a GPU") {
  for (const Call& call : kGroupedGemmFp8Case.experiment->checks())
    for (const std::int64_t sms : {kGpuSms, std::int64_t{2}}) {
      CAPTURE(shape_text(kGroupedGemmFp8Case, call.shape), sms);
      CHECK(error_of_grouped(grouped_gemm_fp8, call, sms, call.counts) < kRounding);
      CHECK(error_of_grouped(grouped_gemm_fp8, call, sms, {}) < kRounding);
      CHECK(error_of_grouped(grouped_gemm_fp8_naive, call, sms, {}) < kRounding);
    }
}

TEST_CASE("grouped_gemm_fp8 with empty experts first, last and in a row, and long ones",
          "[both_orders]") {
  const Call call = {{6, 350, 80, 384}, {0, 1, 0, 0, 349, 0}, 0, false};
  CHECK(error_of_grouped(grouped_gemm_fp8, call, 3, call.counts) < kRounding);
  CHECK(error_of_grouped(grouped_gemm_fp8, call, 3, {1, 1, 1, 1, 1, 1}) < kRounding);
}

TEST_CASE("masked_gemm_fp8 leaves unused rows alone") {
  for (const Call& call : kGroupedGemmFp8Case.experiment->checks())
    for (const std::int64_t sms : {kGpuSms, std::int64_t{2}}) {
      CAPTURE(shape_text(kGroupedGemmFp8Case, call.shape), sms);
      CHECK(error_of_masked(call, sms, 0) < kRounding);
      CHECK(error_of_masked(call, sms, 1) < kRounding);
    }
}

TEST_CASE("gemm_fp8 refuses what it cannot do") {
  GemmFp8 call;
  call.m = 4;
  call.n = 24;
  call.k = 128;
  call.a_scale_ld = 4;
  call.sms = 1;
  CHECK_THROWS_WITH(gemm_fp8(call, nullptr), "gemm_fp8: n is not a multiple of 16: 24");
  call.n = 16;
  call.k = 100;
  CHECK_THROWS_WITH(gemm_fp8(call, nullptr), "gemm_fp8: k is not a multiple of 16: 100");
  call.k = 128;
  call.a_scale_ld = 3;
  CHECK_THROWS_WITH(gemm_fp8(call, nullptr),
                    "gemm_fp8: a_scale_ld is not a multiple of 4 that holds all rows: 3");
}

}  // namespace moesim
