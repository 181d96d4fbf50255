// Rotary embedding against FP64.
#include <algorithm>
#include <cmath>

#include "calibrate/cases/cases.hpp"
#include "kernels/rope.hpp"
#include "tests/catch.hpp"
#include "tests/kernels/arrays.hpp"

namespace moesim {
namespace {

std::vector<float> table_of(std::int64_t positions, std::int32_t rotated) {
  std::vector<float> table = poisoned_floats(positions * rotated);
  rope_table({table.data(), positions, rotated, 10000}, nullptr);
  return table;
}

}  // namespace

TEST_CASE("rope agrees with its case", "[both_orders]") {
  const Experiment& e = *kRopeCase.experiment;
  for (const Call& call : e.checks()) {
    const Arrays in = e.inputs(call, 8), expected = e.outputs(call, in);
    const auto rows = static_cast<std::int64_t>(in[0].values.size()) / (128 * 192);
    const std::vector<float> table = table_of(rows, 64);
    std::vector<Bf16> x = bf16_array(in[0].values);
    rope({x.data(), table.data(), nullptr, rows, 128, 192, 64, false}, nullptr);
    CHECK(relative_l2(float_array(x), expected[0].values) < 2.5e-3);  // the case: 5e-3
  }
}

TEST_CASE("rope turns any heads by the positions given, and back", "[both_orders]") {
  for (const std::int32_t heads : {1, 3, 130})
    for (const std::int32_t rotated : {8, 40, 64}) {
      CAPTURE(heads, rotated);
      const std::int32_t head_dim = 72;
      const std::vector<std::int32_t> position = {700, 0, 5000};
      const std::vector<float> table = table_of(5001, rotated);
      const std::vector<float> before =
          bf16_values(static_cast<std::size_t>(3 * heads * head_dim), 4, 0);
      std::vector<float> expected = before;
      for (std::size_t i = 0; i + 1 < before.size(); i += 2) {
        const auto channel = static_cast<std::int32_t>(i) % head_dim - (head_dim - rotated);
        if (channel < 0) continue;
        const double angle = position[i / static_cast<std::size_t>(heads * head_dim)] *
                             std::pow(10000.0, -static_cast<double>(channel) / rotated);
        expected[i] =
            static_cast<float>(before[i] * std::cos(angle) - before[i + 1] * std::sin(angle));
        expected[i + 1] =
            static_cast<float>(before[i] * std::sin(angle) + before[i + 1] * std::cos(angle));
      }
      std::vector<Bf16> x = bf16_array(before);
      rope({x.data(), table.data(), position.data(), 3, heads, head_dim, rotated, false}, nullptr);
      CHECK(relative_l2(float_array(x), expected) < 2.5e-3);
      rope({x.data(), table.data(), position.data(), 3, heads, head_dim, rotated, true}, nullptr);
      CHECK(relative_l2(float_array(x), before) < 4e-3);
    }
}

}  // namespace moesim
