// Casts and transposes: the cases' own data and odd sizes, all bit by bit.
#include "calibrate/cases/cases.hpp"
#include "calibrate/reference_fp8.hpp"
#include "kernels/cast.hpp"
#include "tests/catch.hpp"
#include "tests/kernels/arrays.hpp"

namespace moesim {
namespace {

std::int64_t blocks_of(std::int64_t size) { return (size + 127) / 128; }

std::vector<float> random_bf16(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  std::vector<float> x = bf16_values(static_cast<std::size_t>(rows * columns), seed, 0);
  // Blocks of all sizes, of zeros among them.
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = round_bf16(std::ldexp(x[i], static_cast<int>(i / 128 % 37) - 18));
  if (!x.empty()) std::fill(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(x.size() / 5), 0.0F);
  return x;
}

// Of a row-wise quantisation.
struct Rows {
  std::vector<E4m3> codes;
  std::vector<float> scales;  // scale-major
  Rows(std::int64_t rows, std::int64_t columns)
      : codes(poisoned_e4m3(rows * columns)),
        scales(poisoned_floats(blocks_of(columns) * scale_stride(rows))) {}
  void check(const Scaled& expected, std::int64_t rows, std::int64_t columns) const {
    CHECK(same_values(float_array(codes), expected.codes));
    CHECK(
        same_values(turned(scales, blocks_of(columns), rows, scale_stride(rows)), expected.scales));
  }
};

using CastKernel = void (*)(const CastRows&, Stream);
void check_cast(CastKernel kernel,
                const std::vector<float>& x,
                std::int64_t rows,
                std::int64_t columns) {
  const std::vector<Bf16> in = bf16_array(x);
  Rows found(rows, columns);
  kernel({in.data(), found.codes.data(), found.scales.data(), rows, columns}, nullptr);
  found.check(quantise_rows(x, rows, columns), rows, columns);
}

}  // namespace

TEST_CASE("cast quantises as its case does, bit by bit", "[both_orders]") {
  for (const Call& call : kCastCase.experiment->checks()) {
    const Arrays in = kCastCase.experiment->inputs(call, 3);
    const auto rows = static_cast<std::int64_t>(in[0].values.size()) / 7168;
    const Arrays expected = kCastCase.experiment->outputs(call, in);
    const std::vector<Bf16> x = bf16_array(in[0].values);
    Rows found(rows, 7168);
    cast_rows({x.data(), found.codes.data(), found.scales.data(), rows, 7168}, nullptr);
    found.check({expected[0].values, expected[1].values}, rows, 7168);
  }
}

TEST_CASE("cast takes any rows, and columns that end within a block", "[both_orders]") {
  std::uint64_t seed = 0;
  for (const std::int64_t rows : {1, 2, 7, 8, 9, 17})
    for (const std::int64_t columns : {8, 128, 136, 576, 1032, 2112}) {
      CAPTURE(rows, columns);
      const std::vector<float> x = random_bf16(rows, columns, ++seed);
      check_cast(cast_rows, x, rows, columns);
      check_cast(cast_rows_naive, x, rows, columns);
    }
  CHECK_THROWS_AS(cast_rows({nullptr, nullptr, nullptr, 1, 12}, nullptr), std::invalid_argument);
  CHECK_NOTHROW(cast_rows({nullptr, nullptr, nullptr, 0, 128}, nullptr));
}

TEST_CASE("cast back gives code times scale", "[both_orders]") {
  for (const std::int64_t rows : {1, 9})
    for (const std::int64_t columns : {136, 2048}) {
      const Scaled scaled = quantise_rows(random_bf16(rows, columns, 5), rows, columns);
      const std::int64_t num_blocks = blocks_of(columns), stride = scale_stride(rows);
      std::vector<float> scales = poisoned_floats(num_blocks * stride), expected;
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = 0; c < columns; ++c) {
          const float scale = scaled.scales[static_cast<std::size_t>(r * num_blocks + c / 128)];
          scales[static_cast<std::size_t>(c / 128 * stride + r)] = scale;
          expected.push_back(
              round_bf16(scaled.codes[static_cast<std::size_t>(r * columns + c)] * scale));
        }
      const std::vector<E4m3> codes = e4m3_array(scaled.codes);
      std::vector<Bf16> x = poisoned_bf16(rows * columns);
      cast_back({codes.data(), scales.data(), x.data(), rows, columns}, nullptr);
      CHECK(same_values(float_array(x), expected));
    }
}

TEST_CASE("weights are quantised in blocks of 128 x 128", "[both_orders]") {
  for (const std::int64_t rows : {1, 128, 129, 300})
    for (const std::int64_t columns : {128, 264, 576}) {
      CAPTURE(rows, columns);
      const std::vector<float> x = random_bf16(rows, columns, 8);
      const std::vector<Bf16> weight = bf16_array(x);
      std::vector<E4m3> codes = poisoned_e4m3(rows * columns);
      std::vector<float> scales = poisoned_floats(blocks_of(rows) * blocks_of(columns));
      cast_weight({weight.data(), codes.data(), scales.data(), rows, columns}, nullptr);
      const Scaled expected = quantise_blocks(x, rows, columns);
      CHECK(same_values(float_array(codes), expected.codes));
      CHECK(same_values(scales, expected.scales));
    }
}

namespace {

void check_cast_transpose(const std::vector<float>& x,
                          std::int64_t tokens,
                          std::int64_t channels,
                          std::int64_t stride,
                          const Scaled& expected) {
  CAPTURE(tokens, channels, stride);
  const std::vector<Bf16> in = bf16_array(x);
  std::vector<E4m3> codes = poisoned_e4m3(channels * stride);
  std::vector<float> scales = poisoned_floats(blocks_of(tokens) * scale_stride(channels));
  cast_transpose({in.data(), codes.data(), scales.data(), tokens, channels, stride}, nullptr);
  const std::vector<float> found = float_array(codes);
  CHECK(same_values(without_padding(found, channels, tokens, stride), expected.codes));
  CHECK(same_values(turned(scales, blocks_of(tokens), channels, scale_stride(channels)),
                    expected.scales));
  if (stride % 16 == 0)
    for (std::int64_t t = tokens; t < (tokens + 15) / 16 * 16; ++t)
      CHECK(found[static_cast<std::size_t>(t)] == 0);
}

}  // namespace

TEST_CASE("cast_transpose does what its case does, bit by bit", "[both_orders]") {
  const Call call = kCastTransposeCase.experiment->checks().front();
  const Arrays in = kCastTransposeCase.experiment->inputs(call, 3);
  const Arrays out = kCastTransposeCase.experiment->outputs(call, in);
  const auto tokens = static_cast<std::int64_t>(in[0].values.size()) / 1536;
  check_cast_transpose(in[0].values, tokens, 1536, tokens, {out[0].values, out[1].values});
}

TEST_CASE("cast_transpose takes odd sizes and strides", "[both_orders]") {
  for (const std::int64_t tokens : {1, 16, 129, 300})
    for (const std::int64_t channels : {2, 64, 130}) {
      const std::vector<float> x = random_bf16(tokens, channels, 4);
      const Scaled expected = quantise_rows(transposed(x, tokens, channels), channels, tokens);
      for (const std::int64_t stride : {tokens, (tokens + 15) / 16 * 16, tokens + 128})
        check_cast_transpose(x, tokens, channels, stride, expected);
    }
}

TEST_CASE("recast_transpose quantises the values that codes and scales stand for",
          "[both_orders]") {
  for (const std::int64_t tokens : {5, 128, 272})
    for (const std::int64_t channels : {4, 128, 388}) {
      CAPTURE(tokens, channels);
      const Scaled scaled = quantise_rows(random_bf16(tokens, channels, 6), tokens, channels);
      const std::int64_t num_blocks = blocks_of(channels), stride = scale_stride(tokens);
      std::vector<float> from_scales = poisoned_floats(num_blocks * stride), values;
      for (std::int64_t t = 0; t < tokens; ++t)
        for (std::int64_t c = 0; c < channels; ++c) {
          const float scale = scaled.scales[static_cast<std::size_t>(t * num_blocks + c / 128)];
          from_scales[static_cast<std::size_t>(c / 128 * stride + t)] = scale;
          values.push_back(scaled.codes[static_cast<std::size_t>(t * channels + c)] * scale);
        }
      const std::vector<E4m3> from = e4m3_array(scaled.codes);
      std::vector<E4m3> codes = poisoned_e4m3(channels * tokens);
      std::vector<float> scales = poisoned_floats(blocks_of(tokens) * scale_stride(channels));
      recast_transpose(
          {from.data(), from_scales.data(), codes.data(), scales.data(), tokens, channels, tokens},
          nullptr);
      const Scaled expected = quantise_rows(transposed(values, tokens, channels), channels, tokens);
      CHECK(same_values(float_array(codes), expected.codes));
      CHECK(same_values(turned(scales, blocks_of(tokens), channels, scale_stride(channels)),
                        expected.scales));
    }
}

TEST_CASE("weight_transpose does what its case does", "[both_orders]") {
  for (const Call& call : kWeightTransposeCase.experiment->checks()) {
    const Arrays in = kWeightTransposeCase.experiment->inputs(call, 3);
    const auto rows = static_cast<std::int64_t>(in[0].values.size()) / 2048;
    const std::vector<E4m3> from = e4m3_array(in[0].values);
    std::vector<E4m3> to = poisoned_e4m3(2048 * rows);
    weight_transpose({from.data(), to.data(), rows, 2048, rows}, nullptr);
    CHECK(
        same_values(float_array(to), kWeightTransposeCase.experiment->outputs(call, in)[0].values));
  }
}

TEST_CASE("weight scales are transposed", "[both_orders]") {
  const std::vector<float> from = normal_values(57 * 33, 1, 0);
  std::vector<float> to = poisoned_floats(57 * 33);
  transpose_scales({from.data(), to.data(), 57, 33}, nullptr);
  CHECK(same_values(to, transposed(from, 57, 33)));
}

}  // namespace moesim
