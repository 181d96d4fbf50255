// Inputs filled by the GPU are those the CPU reference is given, bit by bit.
#include "calibrate/cases/gemm_reference.hpp"
#include "calibrate/reference.hpp"
#include "calibrate/reference_fp8.hpp"
#include "kernels/fill_inputs.hpp"
#include "kernels/measuring.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

constexpr std::uint64_t kSeed = 7;

std::vector<float> decoded(const std::vector<E4m3>& codes) {
  std::vector<float> values;
  for (const E4m3 code : codes) values.push_back(to_float(code));
  return values;
}

}  // namespace

TEST_CASE("normal values filled by the GPU are the reference's", "[fill]") {
  const std::size_t size = GENERATE(1, 255, 100003);
  const auto expected = normal_values(size, kSeed, 3);
  std::vector<float> values(size + 1, -1);
  fill_normal(values.data(), static_cast<std::int64_t>(size), {kSeed, 3}, {});
  CHECK(values.back() == -1);
  values.pop_back();
  CHECK(values == expected);

  std::vector<Bf16> rounded(size);
  fill_normal(rounded.data(), static_cast<std::int64_t>(size), {kSeed, 3}, {});
  const auto expected_rounded = bf16_values(size, kSeed, 3);
  for (std::size_t i = 0; i < size; ++i) REQUIRE(to_float(rounded[i]) == expected_rounded[i]);
}

TEST_CASE("a fill can begin in the middle of an operand", "[fill]") {
  const auto expected = normal_values(100, kSeed, 3);
  std::vector<float> values(60);
  fill_normal(values.data(), 60, {kSeed, 3, 40}, {});
  CHECK(std::equal(values.begin(), values.end(), expected.begin() + 40));
}

TEST_CASE("codes of spread normal values are rounded as the reference rounds them", "[fill]") {
  const auto expected = normal_values(5000, kSeed, 1);
  std::vector<E4m3> codes(expected.size());
  fill_codes(codes.data(), 5000, 100, {kSeed, 1}, {});
  for (std::size_t i = 0; i < codes.size(); ++i)
    REQUIRE(to_float(codes[i]) == round_e4m3(100.0F * expected[i]));
}

TEST_CASE("scaled operands filled by the GPU are those of the GEMM cases", "[fill]") {
  const std::int64_t rows = GENERATE(1, 130), columns = GENERATE(16, 128, 400);
  const std::int64_t blocks = scale_columns(columns), ld = rows + 3;
  std::vector<E4m3> codes(static_cast<std::size_t>(rows * columns));
  {
    const Arrays expected = scaled_operand("a", "s", {rows, columns}, false, kSeed, 2);
    std::vector<float> scales(static_cast<std::size_t>(blocks * ld), -1);
    fill_scaled_rows({codes.data(), scales.data(), rows, columns, ld, {kSeed, 2}}, {});
    CHECK(decoded(codes) == expected[0].values);
    for (std::int64_t b = 0; b < blocks; ++b)
      for (std::int64_t r = 0; r < ld; ++r)
        REQUIRE(scales[static_cast<std::size_t>(b * ld + r)] ==
                (r < rows ? expected[1].values[static_cast<std::size_t>(r * blocks + b)] : -1));
  }
  const Arrays expected = scaled_operand("b", "s", {rows, columns}, true, kSeed, 2);
  std::vector<float> scales(expected[1].values.size());
  fill_scaled_blocks({codes.data(), scales.data(), rows, columns, {kSeed, 2}}, {});
  CHECK(decoded(codes) == expected[0].values);
  CHECK(scales == expected[1].values);
}

TEST_CASE("a flush writes all of its memory and nothing behind it", "[fill]") {
  std::vector<uint4> memory(5001, {1, 1, 1, 1});
  flush_l2(memory.data(), 5000 * sizeof(uint4), {});
  for (std::size_t i = 0; i < 5000; ++i) REQUIRE(memory[i].w == 0);
  CHECK(memory[5000].x == 1);
  launch_nothing({});
}

TEST_CASE("SMs are given back when the host says stop", "[fill]") {
  std::int32_t stop = 1, held[3] = {0, 0, -1};
  hold_sms({&stop, held, 2, nullptr, nullptr, 0}, {});
  CHECK(held[0] == 1);
  CHECK(held[1] == 1);
  CHECK(held[2] == -1);
}

TEST_CASE("squares filled by the GPU are those of the optimizer's case", "[fill]") {
  const Call call = {{2048 * 22}, {}, 0, false};
  const Arrays expected = find_case("adam")->experiment->inputs(call, kSeed);
  std::vector<Bf16> squares(2048);
  fill_squares(squares.data(), 2048, {kSeed, 3}, {});
  for (std::size_t i = 0; i < squares.size(); ++i)
    REQUIRE(to_float(squares[i]) == expected[3].values[i]);
}
