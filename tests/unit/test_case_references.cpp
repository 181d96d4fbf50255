// CPU references of the backward passes, copies, layouts and optimizer steps, against calculations
// of their own.
#include <cmath>
#include <set>

#include "calibrate/cases/cases.hpp"
#include "tests/catch.hpp"

namespace moesim {
namespace {

const Experiment& reference_of(std::string_view op) { return *find_case(op)->experiment; }

// The sum of products of two arrays: a loss whose gradient by `a`'s makers is what `d` weighs.
double loss(const std::vector<float>& values, const std::vector<float>& d) {
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) sum += static_cast<double>(values[i]) * d[i];
  return sum;
}

}  // namespace

TEST_CASE("references: the gradient of swiglu is the slope of its value", "[samples]") {
  const Experiment& e = reference_of("swiglu_backward");
  const Call call = bytes_call(2048 * 10);
  const Arrays in = e.inputs(call, 5);
  const Arrays d = e.outputs(call, in);
  const auto value = [&](double gate, double up) { return gate / (1 + std::exp(-gate)) * up; };
  for (const std::size_t i : {0U, 77U, 2047U}) {
    const double gate = in[0].values[i], up = in[0].values[2048 + i], d_out = in[1].values[i],
                 h = 1e-5;
    CHECK(d[0].values[i] ==
          Approx(d_out * (value(gate + h, up) - value(gate - h, up)) / (2 * h)).margin(1e-6));
    CHECK(d[0].values[2048 + i] == Approx(d_out * value(gate, 1)).margin(1e-6));
  }
}

TEST_CASE("references: the gradient of a norm is the slope of its value", "[samples]") {
  const Experiment &backward = reference_of("rmsnorm_backward"), &forward = reference_of("rmsnorm");
  const Call call = bytes_call(2 * 7168 * 8);
  const Arrays in = backward.inputs(call, 5);
  const Arrays d = backward.outputs(call, in);
  Arrays of_norm = {in[0], in[0], in[3]};
  of_norm[1].values.assign(of_norm[1].values.size(), 0);  // no residual
  const auto loss_at = [&](std::size_t array, std::size_t i, float by) {
    Arrays moved = of_norm;
    moved[array].values[i] += by;
    return loss(forward.outputs(call, moved)[0].values, in[1].values);
  };
  constexpr float kStep = 1.0F / 32;
  for (const std::size_t i : {0U, 7167U, 7168U, 10000U})
    CHECK(d[0].values[i] - in[2].values[i] ==
          Approx((loss_at(0, i, kStep) - loss_at(0, i, -kStep)) / (2 * kStep)).margin(2e-3));
  for (const std::size_t i : {0U, 7167U})
    CHECK(d[1].values[i] - in[4].values[i] ==
          Approx((loss_at(2, i, kStep) - loss_at(2, i, -kStep)) / (2 * kStep)).margin(2e-3));
}

TEST_CASE("references: a step of Adam is the published algorithm's", "[samples]") {
  const Experiment& e = reference_of("adam");
  const Call call = bytes_call(2048 * 22);
  const Arrays in = e.inputs(call, 5);
  const Arrays out = e.outputs(call, in);
  for (const std::size_t i : {0U, 2047U}) {
    const double g = in[0].values[i], m = 0.9 * in[2].values[i] + 0.1 * g,
                 v = 0.95 * in[3].values[i] + 0.05 * g * g;
    CHECK(in[3].values[i] >= 0);
    CHECK(out[1].values[i] == Approx(m));
    CHECK(out[2].values[i] == Approx(v));
    const double step = m / (1 - 0.9 * 0.9 * 0.9) / std::sqrt(v / (1 - 0.95 * 0.95 * 0.95));
    CHECK(out[0].values[i] ==
          Approx(in[1].values[i] - 0.125 * (step + 0.1 * in[1].values[i])).epsilon(1e-5));
    CHECK(out[3].values[i] == out[0].values[i]);
  }
}

TEST_CASE("references: keys are put together from both of their parts", "[samples]") {
  constexpr std::size_t kKeyRow = 128 * 192;
  const Call nope = bytes_call(2 * 128 * 128 * 4), rope = bytes_call(2 * 129 * 64 * 2);
  const Arrays from = reference_of("copy").inputs(nope, 5),
               rotary = reference_of("broadcast_copy").inputs(rope, 5);
  const std::vector<float> a = reference_of("copy").outputs(nope, from)[0].values,
                           b = reference_of("broadcast_copy").outputs(rope, rotary)[0].values;
  REQUIRE(a.size() == 2 * kKeyRow);
  REQUIRE(b.size() == 2 * kKeyRow);
  for (const std::size_t token : {0U, 1U})
    for (const std::size_t head : {0U, 5U, 127U})
      for (const std::size_t c : {0U, 127U, 128U, 191U}) {
        const std::size_t at = token * kKeyRow + head * 192 + c;
        CHECK(a[at] == (c < 128 ? from[0].values[(token * 128 + head) * 256 + c] : 0));
        CHECK(b[at] == (c < 128 ? 0 : rotary[0].values[token * 64 + c - 128]));
      }
}

TEST_CASE("references: every choice of this rank has a row of its expert's", "[samples]") {
  constexpr std::size_t kTokens = 777;
  const Call call = bytes_call(kTokens * 64);
  const Arrays in = reference_of("expert_map").inputs(call, 5);
  const Arrays counted = reference_of("expert_count").outputs(call, in),
               placed = reference_of("expert_map").outputs(call, in);
  const std::vector<float>&counts = counted[0].values, &offsets = counted[1].values,
        &position = placed[0].values, &source = placed[1].values;
  REQUIRE(counts.size() == 8);
  std::set<float> rows;
  std::vector<float> found(8);
  for (std::size_t i = 0; i < position.size(); ++i) {
    const auto expert = static_cast<std::size_t>(in[0].values[i]);
    CHECK((position[i] >= 0) == (expert < 8));
    if (position[i] < 0) continue;
    ++found[expert];
    CHECK(rows.insert(position[i]).second);
    CHECK(position[i] >= offsets[expert]);
    CHECK(position[i] < offsets[expert + 1]);
    CHECK(source[static_cast<std::size_t>(position[i])] == static_cast<float>(i / 8));
  }
  CHECK(found == counts);
  CHECK(rows.size() == kTokens);  // one choice of each token
  for (const float offset : offsets) CHECK(std::fmod(offset, 128.0F) == 0);
  for (const float row : counted[2].values) CHECK(row == -1);
}

TEST_CASE("references: the gate takes eight experts of at most four groups", "[samples]") {
  const Call call = bytes_call(50 * 1024);
  const Experiment& e = reference_of("gate_gather");
  const Arrays in = e.inputs(call, 5);
  const Arrays out = e.outputs(call, in);
  for (std::size_t token = 0; token < 50; ++token) {
    std::set<int> groups, experts;
    double sum = 0;
    for (std::size_t i = token * 8; i < token * 8 + 8; ++i) {
      const int expert = static_cast<int>(out[0].values[i]);
      experts.insert(expert);
      groups.insert(expert / 32);
      sum += out[1].values[i];
    }
    CHECK(experts.size() == 8);
    CHECK(groups.size() <= 4);
    CHECK(sum == Approx(2.5).epsilon(1e-5));
  }
}

}  // namespace moesim
