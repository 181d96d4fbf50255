// The weight gradient on the emulated GPU against its case's reference.
#include <vector>

#include "calibrate/cases/cases.hpp"
#include "calibrate/reference.hpp"
#include "kernels/gemm_fp8_wgrad.hpp"
#include "model/kernel_plan.hpp"
#include "tests/catch.hpp"
#include "tests/kernels/arrays.hpp"
#include "tests/kernels/scale_major.hpp"

namespace moesim {
namespace {

struct WgradOperand {
  std::vector<E4m3> codes;    // [rows, k]
  std::vector<float> scales;  // [ceil(k / 128)][ld]
  std::int64_t ld;
};

WgradOperand wgrad_operand(const Array& values, const Array& scales, std::int64_t rows) {
  const std::int64_t blocks = static_cast<std::int64_t>(scales.values.size()) / rows;
  return {e4m3_array(values.values),
          scale_major(scales.values.data(), rows, blocks),
          scale_major_ld(rows)};
}

// Of the product alone: c, of a size of its own, would hide its error.
double error_of_wgrad(void (*run)(const GemmFp8Wgrad&, Stream),
                      const Shape& shape,
                      std::int64_t sms) {
  const Experiment& experiment = *kGemmFp8WgradCase.experiment;
  const Call call = {shape, {}, sms, false};
  const Arrays in = experiment.inputs(call, 7);
  const WgradOperand a = wgrad_operand(in[0], in[1], shape[0]),
                     b = wgrad_operand(in[2], in[3], shape[1]);
  std::vector<float> c = in[4].values, expected = experiment.outputs(call, in)[0].values;
  run({shape[0],
       shape[1],
       shape[2],
       a.codes.data(),
       a.scales.data(),
       a.ld,
       b.codes.data(),
       b.scales.data(),
       b.ld,
       c.data(),
       sms},
      nullptr);
  for (std::size_t i = 0; i < c.size(); ++i) {
    c[i] -= in[4].values[i];
    expected[i] -= in[4].values[i];
  }
  return relative_l2(c, expected);
}

constexpr double kFp32 = 1e-6;

}  // namespace

TEST_CASE("gemm_fp8_wgrad at the shapes it is checked at on a GPU") {
  for (const Call& call : kGemmFp8WgradCase.experiment->checks())
    for (const std::int64_t sms : {132, 1}) {
      CAPTURE(shape_text(kGemmFp8WgradCase, call.shape), sms);
      CHECK(error_of_wgrad(gemm_fp8_wgrad, call.shape, sms) < kFp32);
      CHECK(error_of_wgrad(gemm_fp8_wgrad_naive, call.shape, sms) < kFp32);
    }
}

TEST_CASE("gemm_fp8_wgrad with tiles of 64, 128 and 256 rows and all widths") {
  for (const std::int64_t m : {64, 128, 256})
    for (std::int64_t n = kTileStep; n <= kWidestTile; n += kTileStep) {
      CAPTURE(m, n);
      const GemmTile tile = fewest_waves_plan({m, n, 256, 1, {}}, 1).tile;
      CHECK(tile.bm == m);
      CHECK(tile.bn == n);
      CHECK(error_of_wgrad(gemm_fp8_wgrad, {m, n, 256}, 1) < kFp32);
    }
}

// Odd sizes, k that ends inside a scale block, and a ring gone round more than once.
TEST_CASE("gemm_fp8_wgrad goes round its ring and over tiles", "[both_orders]") {
  for (const Shape& shape : {Shape{71, 213, 1200}, Shape{301, 131, 1168}, Shape{3, 1, 16}})
    for (const std::int64_t sms : {1, 3}) {
      CAPTURE(shape_text(kGemmFp8WgradCase, shape), sms);
      CHECK(error_of_wgrad(gemm_fp8_wgrad, shape, sms) < kFp32);
    }
}

TEST_CASE("gemm_fp8_wgrad refuses what it cannot do") {
  GemmFp8Wgrad call;
  call.m = call.n = call.sms = 1;
  call.k = 24;
  call.a_scale_ld = call.b_scale_ld = 4;
  CHECK_THROWS_WITH(gemm_fp8_wgrad(call, nullptr), "gemm_fp8_wgrad: k is not a multiple of 16: 24");
  call.k = 16;
  call.b_scale_ld = 2;
  CHECK_THROWS_WITH(
      gemm_fp8_wgrad(call, nullptr),
      "gemm_fp8_wgrad: a_scale_ld or b_scale_ld is not a multiple of 4 that holds all rows");
}

}  // namespace moesim
