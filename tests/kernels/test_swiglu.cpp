// SwiGLU, its cast and its gradient, against FP64.
#include <cmath>

#include "calibrate/cases/cases.hpp"
#include "calibrate/reference_fp8.hpp"
#include "kernels/cast.hpp"
#include "kernels/swiglu.hpp"
#include "tests/catch.hpp"
#include "tests/kernels/arrays.hpp"

namespace moesim {
namespace {

std::vector<float> activations(const std::vector<float>& gate_up,
                               std::int64_t rows,
                               std::int64_t width,
                               const std::vector<float>& weight) {
  std::vector<float> out;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < width; ++c) {
      const double gate = gate_up[static_cast<std::size_t>(r * 2 * width + c)],
                   up = gate_up[static_cast<std::size_t>(r * 2 * width + width + c)];
      out.push_back(static_cast<float>(gate / (1 + std::exp(-gate)) * up *
                                       weight[static_cast<std::size_t>(r)]));
    }
  return out;
}

// Of codes by `found`'s own scales: values to compare with what was to be cast.
std::vector<float> decoded(const std::vector<E4m3>& codes,
                           const std::vector<float>& scales,
                           std::int64_t rows,
                           std::int64_t width) {
  std::vector<float> values = float_array(codes);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < width; ++c)
      values[static_cast<std::size_t>(r * width + c)] *=
          scales[static_cast<std::size_t>(c / 128 * scale_stride(rows) + r)];
  return values;
}

const std::vector<float> kOnes(64, 1.0F);

}  // namespace

TEST_CASE("swiglu with its cast agrees with its case", "[both_orders]") {
  const Experiment& e = *kSwigluCase.experiment;
  for (const Call& call : e.checks()) {
    const Arrays in = e.inputs(call, 9), expected = e.outputs(call, in);
    const auto rows = static_cast<std::int64_t>(in[0].values.size()) / 4096;
    const std::vector<Bf16> gate_up = bf16_array(in[0].values);
    std::vector<E4m3> codes = poisoned_e4m3(rows * 2048);
    std::vector<float> scales = poisoned_floats(16 * scale_stride(rows));
    swiglu_cast({gate_up.data(), nullptr, codes.data(), scales.data(), rows, 2048}, nullptr);
    CHECK(relative_l2(float_array(codes), expected[0].values) <= e.tolerance);
    CHECK(relative_l2(turned(scales, 16, rows, scale_stride(rows)), expected[1].values) < 1e-6);
  }
}

TEST_CASE("swiglu takes odd sizes, weights of rows and gates far out", "[both_orders]") {
  for (const std::int64_t rows : {1, 5, 9, 33})
    for (const std::int64_t width : {8, 136, 1056}) {
      CAPTURE(rows, width);
      std::vector<float> x = bf16_values(static_cast<std::size_t>(rows * 2 * width), 2, 0);
      x[0] = 300;
      x[1] = -300;
      const std::vector<float> weight = normal_values(static_cast<std::size_t>(rows), 2, 1);
      const std::vector<Bf16> gate_up = bf16_array(x);
      std::vector<Bf16> out = poisoned_bf16(rows * width);
      swiglu({gate_up.data(), out.data(), rows, width}, nullptr);
      CHECK(relative_l2(float_array(out), activations(x, rows, width, kOnes)) < 3e-3);

      std::vector<E4m3> codes = poisoned_e4m3(rows * width);
      std::vector<float> scales = poisoned_floats((width + 127) / 128 * scale_stride(rows));
      swiglu_cast({gate_up.data(), weight.data(), codes.data(), scales.data(), rows, width},
                  nullptr);
      const std::vector<float> expected = activations(x, rows, width, weight);
      CHECK(relative_l2(decoded(codes, scales, rows, width), expected) < 4e-2);
      CHECK(relative_l2(turned(scales, (width + 127) / 128, rows, scale_stride(rows)),
                        quantise_rows(expected, rows, width).scales) < 1e-5);
    }
}

TEST_CASE("the gradient of swiglu is the slope of its value", "[both_orders]") {
  for (const std::int64_t rows : {1, 17})
    for (const std::int64_t width : {40, 256}) {
      const auto size = static_cast<std::size_t>(rows * width);
      const std::vector<float> x = bf16_values(2 * size, 2, 0), d = bf16_values(size, 2, 1);
      const std::vector<Bf16> gate_up = bf16_array(x), d_out = bf16_array(d);
      std::vector<Bf16> found = poisoned_bf16(rows * 2 * width);
      swiglu_backward({gate_up.data(), d_out.data(), found.data(), rows, width}, nullptr);
      std::vector<float> expected;
      const auto value = [](double gate, double up) { return gate / (1 + std::exp(-gate)) * up; };
      for (std::size_t i = 0; i < 2 * size; ++i) {
        const auto w = static_cast<std::size_t>(width);
        const std::size_t row = i / (2 * w), column = i % w;
        const double gate = x[row * 2 * w + column], up = x[row * 2 * w + w + column];
        constexpr double kStep = 1e-5;
        const double slope = i % (2 * w) < w ? value(gate + kStep, up) - value(gate - kStep, up)
                                             : value(gate, up + kStep) - value(gate, up - kStep);
        expected.push_back(static_cast<float>(d[row * w + column] * slope / (2 * kStep)));
      }
      CHECK(relative_l2(float_array(found), expected) < 3e-3);
    }
}

}  // namespace moesim
