// RMSNorm, with and without residual and cast, against FP64.
#include <cmath>

#include "calibrate/cases/cases.hpp"
#include "calibrate/reference_fp8.hpp"
#include "kernels/cast.hpp"
#include "kernels/rmsnorm.hpp"
#include "tests/catch.hpp"
#include "tests/kernels/arrays.hpp"

namespace moesim {
namespace {

struct Problem {
  std::int64_t rows, columns;
  std::vector<float> x, residual, weight;
  std::vector<Bf16> x_bits, residual_bits, weight_bits;

  Problem(std::int64_t num_rows, std::int64_t num_columns)
      : rows(num_rows),
        columns(num_columns),
        x(bf16_values(static_cast<std::size_t>(rows * columns), 7, 0)),
        residual(bf16_values(x.size(), 7, 1)),
        weight(bf16_values(static_cast<std::size_t>(columns), 7, 2)),
        x_bits(bf16_array(x)),
        residual_bits(bf16_array(residual)),
        weight_bits(bf16_array(weight)) {}

  RmsnormInput input(bool with_residual, Bf16* sum) const {
    return {x_bits.data(),
            with_residual ? residual_bits.data() : nullptr,
            weight_bits.data(),
            sum,
            rows,
            columns,
            1e-3F};
  }
  std::vector<float> expected(bool with_residual) const {
    std::vector<float> out;
    for (std::int64_t r = 0; r < rows; ++r) {
      double squares = 0;
      std::vector<double> s;
      for (std::int64_t c = 0; c < columns; ++c) {
        const auto i = static_cast<std::size_t>(r * columns + c);
        s.push_back(static_cast<double>(x[i]) + (with_residual ? residual[i] : 0));
        squares += s.back() * s.back();
      }
      const double norm = std::sqrt(squares / static_cast<double>(columns) + 1e-3F);
      for (std::int64_t c = 0; c < columns; ++c)
        out.push_back(static_cast<float>(s[static_cast<std::size_t>(c)] / norm *
                                         weight[static_cast<std::size_t>(c)]));
    }
    return out;
  }
};

}  // namespace

TEST_CASE("rmsnorm agrees with its case", "[both_orders]") {
  const Experiment& e = *kRmsnormCase.experiment;
  for (const Call& call : e.checks()) {
    const Arrays in = e.inputs(call, 4), expected = e.outputs(call, in);
    const auto size = static_cast<std::int64_t>(in[0].values.size());
    const std::vector<Bf16> x = bf16_array(in[0].values), residual = bf16_array(in[1].values),
                            weight = bf16_array(in[2].values);
    std::vector<Bf16> normed = poisoned_bf16(size), sum = poisoned_bf16(size);
    rmsnorm({{x.data(), residual.data(), weight.data(), sum.data(), size / 7168, 7168, 1e-6F},
             normed.data()},
            nullptr);
    CHECK(relative_l2(float_array(normed), expected[0].values) < 2.5e-3);  // the case: 5e-3
    std::vector<float> rounded;
    for (const float s : expected[1].values) rounded.push_back(round_bf16(s));
    CHECK(same_values(float_array(sum), rounded));
  }
}

TEST_CASE("rmsnorm takes rows of any length, with and without residual", "[both_orders]") {
  for (const std::int64_t columns : {8, 512, 1544, 2056, 4104, 8200, 16384})
    for (const bool with_residual : {false, true}) {
      CAPTURE(columns, with_residual);
      const Problem problem(3, columns);
      std::vector<Bf16> out = poisoned_bf16(3 * columns);
      rmsnorm({problem.input(with_residual, nullptr), out.data()}, nullptr);
      const std::vector<float> expected = problem.expected(with_residual);
      CHECK(relative_l2(float_array(out), expected) < 2.5e-3);

      const std::int64_t num_blocks = (columns + 127) / 128;
      std::vector<E4m3> codes = poisoned_e4m3(3 * columns);
      std::vector<float> scales = poisoned_floats(num_blocks * scale_stride(3));
      rmsnorm_cast({problem.input(with_residual, nullptr), codes.data(), scales.data()}, nullptr);
      const Scaled scaled = quantise_rows(expected, 3, columns);
      // A last digit of the norm moves a few codes by a step.
      CHECK(relative_l2(float_array(codes), scaled.codes) < 5e-3);
      CHECK(relative_l2(turned(scales, num_blocks, 3, scale_stride(3)), scaled.scales) < 1e-6);
    }
  CHECK_THROWS_AS(rmsnorm({{nullptr, nullptr, nullptr, nullptr, 1, 16392, 0}, nullptr}, nullptr),
                  std::invalid_argument);
}

TEST_CASE("rmsnorm may leave the sum where the residual was", "[both_orders]") {
  Problem problem(2, 512);
  std::vector<Bf16> stream = problem.residual_bits, out = poisoned_bf16(2 * 512);
  rmsnorm({{problem.x_bits.data(),
            stream.data(),
            problem.weight_bits.data(),
            stream.data(),
            2,
            512,
            1e-3F},
           out.data()},
          nullptr);
  CHECK(relative_l2(float_array(out), problem.expected(true)) < 2.5e-3);
  for (std::size_t i = 0; i < stream.size(); ++i)
    REQUIRE(to_float(stream[i]) == round_bf16(problem.x[i] + problem.residual[i]));
}

TEST_CASE("the gradient of rmsnorm is the slope of its value", "[both_orders]") {
  for (const std::int64_t rows : {1, 300})
    for (const std::int64_t columns : {40, 2056}) {
      if (rows > 1 && columns > 40) continue;
      CAPTURE(rows, columns);
      const Problem q(rows, columns);
      const std::vector<float> d = bf16_values(q.x.size(), 7, 3);
      const std::vector<Bf16> d_out = bf16_array(d);
      for (const bool with_residual : {false, true}) {
        std::vector<Bf16> d_sum = poisoned_bf16(rows * columns);
        std::vector<float> d_weight(static_cast<std::size_t>(columns), 0.5F),
            scratch = poisoned_floats(kRmsnormParts * columns);
        rmsnorm_backward({q.x_bits.data(),
                          q.weight_bits.data(),
                          d_out.data(),
                          with_residual ? q.residual_bits.data() : nullptr,
                          d_sum.data(),
                          d_weight.data(),
                          scratch.data(),
                          rows,
                          columns,
                          1e-3F},
                         nullptr);
        std::vector<float> expected_sum;
        std::vector<double> of_weight(static_cast<std::size_t>(columns), 0.5);
        const auto n = static_cast<std::size_t>(columns);
        for (std::size_t row = 0; row < q.x.size(); row += n) {
          // loss(t) = sum of d * norm(x + t e_i) * weight: its slope at 0, as a difference.
          double squares = 0, dot = 0;
          for (std::size_t i = 0; i < n; ++i) {
            squares += double{q.x[row + i]} * q.x[row + i];
            dot += double{d[row + i]} * q.weight[i] * q.x[row + i];
          }
          const auto norm = [&](double sum) {
            return std::sqrt(sum / static_cast<double>(columns) + 1e-3F);
          };
          for (std::size_t i = 0; i < n; ++i) {
            const auto loss = [&](double t) {
              const double x = q.x[row + i];
              return (dot + double{d[row + i]} * q.weight[i] * t) /
                     norm(squares + 2 * x * t + t * t);
            };
            constexpr double kStep = 1e-5;
            expected_sum.push_back(static_cast<float>((loss(kStep) - loss(-kStep)) / (2 * kStep) +
                                                      (with_residual ? q.residual[row + i] : 0)));
            of_weight[i] += double{d[row + i]} * q.x[row + i] / norm(squares);
          }
        }
        CHECK(relative_l2(float_array(d_sum), expected_sum) < 3e-3);
        CHECK(relative_l2(d_weight, std::vector<float>(of_weight.begin(), of_weight.end())) < 1e-5);
      }
    }
}

}  // namespace moesim
