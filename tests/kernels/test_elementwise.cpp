// Sums, copies and the optimizer's step.
#include <cmath>

#include "calibrate/cases/cases.hpp"
#include "kernels/adam.hpp"
#include "kernels/elementwise.hpp"
#include "tests/catch.hpp"
#include "tests/kernels/arrays.hpp"

namespace moesim {
namespace {

std::vector<float> rounded(std::vector<float> values) {
  for (float& v : values) v = round_bf16(v);
  return values;
}

}  // namespace

TEST_CASE("sums agree with their case, and are rounded once", "[both_orders]") {
  const Experiment& e = *kElementwiseCase.experiment;
  for (const Call& call : e.checks()) {
    const Arrays in = e.inputs(call, 8), expected = e.outputs(call, in);
    const std::vector<Bf16> a = bf16_array(in[0].values), b = bf16_array(in[1].values);
    const auto size = static_cast<std::int64_t>(a.size());
    std::vector<Bf16> sum = poisoned_bf16(size);
    add_tensors({a.data(), b.data(), sum.data(), size}, nullptr);
    CHECK(same_values(float_array(sum), rounded(expected[0].values)));
  }
}

TEST_CASE("sums of odd sizes, in place", "[both_orders]") {
  for (const std::int64_t size : {8, 8200, 24}) {
    const std::vector<float> x = bf16_values(static_cast<std::size_t>(size), 1, 0);
    std::vector<Bf16> a = bf16_array(x);
    add_tensors({a.data(), a.data(), a.data(), size}, nullptr);
    std::vector<float> expected = x;
    for (float& v : expected) v *= 2;
    CHECK(same_values(float_array(a), expected));
  }
}

namespace {

// Pieces where they belong and 0xee elsewhere.
void check_copy(CopyPieces p, std::int64_t from_bytes, std::int64_t to_bytes) {
  CAPTURE(p.rows, p.copies, p.piece_bytes);
  std::vector<std::uint64_t> from(static_cast<std::size_t>(from_bytes / 8)),
      to(static_cast<std::size_t>(to_bytes / 8), 0xeeeeeeeeeeeeeeee);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = i;
  std::vector<std::uint64_t> expected = to;
  for (std::int64_t r = 0; r < p.rows; ++r)
    for (std::int64_t c = 0; c < p.copies; ++c)
      for (std::int64_t i = 0; i < p.piece_bytes / 8; ++i)
        expected[static_cast<std::size_t>((r * p.to_row_stride + c * p.to_copy_stride) / 8 + i)] =
            from[static_cast<std::size_t>((r * p.from_row_stride + c * p.from_copy_stride) / 8 +
                                          i)];
  p.from = from.data();
  p.to = to.data();
  copy_pieces(p, nullptr);
  CHECK(to == expected);
}

}  // namespace

TEST_CASE("pieces of rows are copied, broadcast and left in their places", "[both_orders]") {
  check_copy({nullptr, nullptr, 1, 1, 16 * 1500, 0, 0, 0, 0}, 16 * 1500, 16 * 1500);
  // The rotary key of 9 tokens to 12 heads of 384 bytes, of which it is the last 128.
  check_copy({nullptr, nullptr, 9, 12, 128, 128, 0, 12 * 384, 384}, 9 * 128, 9 * 12 * 384);
  // 16 heads' keys out of what keys and values are in.
  check_copy(
      {nullptr, nullptr, 7, 16, 256, 16 * 512, 512, 16 * 384, 384}, 7 * 16 * 512, 7 * 16 * 384);
  check_copy({nullptr, nullptr, 300, 1, 48, 64, 0, 48, 0}, 300 * 64, 300 * 48);
  CHECK_THROWS_AS(copy_pieces({nullptr, nullptr, 1, 1, 24, 0, 0, 0, 0}, nullptr),
                  std::invalid_argument);
}

namespace {

constexpr AdamSettings kSettings = {1e-2F, 0.9F, 0.95F, 1e-8F, 0.1F, 3};

struct AdamState {
  std::vector<float> gradient, master, first, second;
  explicit AdamState(std::size_t size)
      : gradient(normal_values(size, 2, 0)),
        master(normal_values(size, 2, 1)),
        first(bf16_values(size, 2, 2)),
        second(bf16_values(size, 2, 3)) {
    for (float& v : second) v = std::abs(v);
  }
};

AdamState stepped(AdamState s) {
  const double beta1 = kSettings.beta1, beta2 = kSettings.beta2;
  for (std::size_t i = 0; i < s.master.size(); ++i) {
    const double g = s.gradient[i], m = beta1 * s.first[i] + (1 - beta1) * g,
                 v = beta2 * s.second[i] + (1 - beta2) * g * g,
                 step = m / (1 - std::pow(beta1, 3)) /
                        (std::sqrt(v / (1 - std::pow(beta2, 3))) + kSettings.epsilon);
    s.first[i] = static_cast<float>(m);
    s.second[i] = static_cast<float>(v);
    s.master[i] = static_cast<float>(
        s.master[i] - kSettings.learning_rate * (step + kSettings.decay * double{s.master[i]}));
  }
  return s;
}

}  // namespace

TEST_CASE("a step of Adam with moments in FP32", "[both_orders]") {
  for (const std::size_t size : {4, 1028}) {
    AdamState s(size);
    const AdamState before = s, expected = stepped(s);
    std::vector<Bf16> weight = poisoned_bf16(static_cast<std::int64_t>(size));
    adam_step(AdamStep<float>{s.gradient.data(),
                              s.master.data(),
                              s.first.data(),
                              s.second.data(),
                              weight.data(),
                              static_cast<std::int64_t>(size),
                              kSettings},
              nullptr);
    const auto change = [&](std::vector<float> after) {
      for (std::size_t i = 0; i < size; ++i) after[i] -= before.master[i];
      return after;
    };
    CHECK(relative_l2(change(s.master), change(expected.master)) < 1e-5);
    CHECK(relative_l2(s.first, expected.first) < 1e-6);
    CHECK(relative_l2(s.second, expected.second) < 1e-6);
    CHECK(same_values(float_array(weight), rounded(s.master)));
    CHECK(same_values(s.gradient, before.gradient));
  }
}

TEST_CASE("a step of Adam with moments in BF16", "[both_orders]") {
  AdamState s(260);
  const AdamState before = s, expected = stepped(s);
  std::vector<Bf16> weight = poisoned_bf16(260), first = bf16_array(s.first),
                    second = bf16_array(s.second);
  adam_step(AdamStep<Bf16>{s.gradient.data(),
                           s.master.data(),
                           first.data(),
                           second.data(),
                           weight.data(),
                           260,
                           kSettings},
            nullptr);
  // Taken with moments that are not rounded yet: as close as in FP32.
  CHECK(relative_l2(s.master, expected.master) < 1e-6);
  CHECK(relative_l2(float_array(first), expected.first) < 2.5e-3);
  CHECK(relative_l2(float_array(second), expected.second) < 2.5e-3);
  CHECK(same_values(float_array(weight), rounded(s.master)));
}

}  // namespace moesim
