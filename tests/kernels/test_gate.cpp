// The gate against Gate (model/gate.hpp), whose experts and weights it has to give bit by bit.
#include <algorithm>
#include <cmath>

#include "kernels/gate.hpp"
#include "model/gate.hpp"
#include "tests/catch.hpp"
#include "tests/kernels/arrays.hpp"

namespace moesim {
namespace {

GateSpec spec_of(std::int64_t experts, std::int64_t top_k, std::int64_t groups, std::int64_t max) {
  GateSpec spec;
  spec.num_experts = experts;
  spec.top_k = top_k;
  spec.num_groups = groups;
  spec.max_groups = max;
  spec.score = ScoreFunction::sigmoid;
  spec.renormalise = true;
  spec.scale = 2.5;
  return spec;
}

void check_gate(const GateSpec& spec,
                const std::vector<float>& logits,
                const std::vector<float>& bias) {
  CAPTURE(spec.num_experts, spec.top_k, spec.num_groups, spec.max_groups, bias.size());
  const auto tokens = static_cast<std::int64_t>(logits.size()) / spec.num_experts;
  RoutedTokens expected;
  Gate(spec).route(logits.data(), tokens, bias, expected);
  std::vector<std::int32_t> experts(static_cast<std::size_t>(tokens * spec.top_k), -1);
  std::vector<float> weights = poisoned_floats(tokens * spec.top_k);
  gate_top_k({logits.data(),
              bias.empty() ? nullptr : bias.data(),
              experts.data(),
              weights.data(),
              tokens,
              static_cast<std::int32_t>(spec.num_experts),
              static_cast<std::int32_t>(spec.num_groups),
              static_cast<std::int32_t>(spec.max_groups),
              static_cast<std::int32_t>(spec.top_k),
              static_cast<float>(spec.scale)},
             nullptr);
  CHECK(experts == expected.experts);
  CHECK(same_values(weights, expected.weights));
}

void check_random(const GateSpec& spec, std::int64_t tokens, float spread, float step) {
  const auto n = static_cast<std::size_t>(spec.num_experts);
  std::vector<float> logits = normal_values(n * static_cast<std::size_t>(tokens), 11, 0),
                     bias = normal_values(n, 11, 1);
  // Multiples of `step`, so that there are ties.
  for (float& v : logits) v = step > 0 ? std::round(spread * v / step) * step : spread * v;
  for (float& b : bias) b = step > 0 ? 0.25F * std::round(b) : 0.01F * b;
  check_gate(spec, logits, bias);
  check_gate(spec, logits, {});
}

}  // namespace

TEST_CASE("the gate of DeepSeek-V3 chooses and weighs as Gate does", "[both_orders]") {
  const GateSpec v3 = spec_of(256, 8, 8, 4);
  check_random(v3, 120, 1, 0);
  check_random(v3, 60, 8, 0);     // affinities near 0 and 1
  check_random(v3, 60, 1, 0.5F);  // ties of experts and of groups
  check_random(v3, 9, 0, 0);      // all equal, and zeros of both signs
  check_random(v3, 9, 60, 0);
}

TEST_CASE("gates of any width, groups and choice", "[both_orders]") {
  for (const auto& [experts, top_k, groups, max] : {std::array{32, 1, 1, 1},
                                                    {64, 6, 1, 1},
                                                    {96, 8, 2, 1},
                                                    {160, 6, 8, 3},
                                                    std::array{128, 32, 4, 2},
                                                    {384, 8, 1, 1},
                                                    {512, 10, 32, 7},
                                                    {256, 8, 8, 8},
                                                    std::array{256, 16, 16, 1},
                                                    {512, 16, 16, 2},
                                                    {224, 9, 4, 4},
                                                    {288, 8, 4, 3}}) {
    check_random(spec_of(experts, top_k, groups, max), 9, 1, 0);
    check_random(spec_of(experts, top_k, groups, max), 9, 1, 0.5F);
  }
}

TEST_CASE("without a bias, groups of one scored expert are told apart by its logit",
          "[both_orders]") {
  check_random(spec_of(256, 8, 8, 8), 20, 30, 0);
  check_random(spec_of(512, 8, 16, 8), 20, 30, 0);  // affinities are 1, logits differ
}

TEST_CASE("zeros of both signs tie", "[both_orders]") {
  std::vector<float> logits(256, 0.0F);
  for (std::size_t i = 0; i < logits.size(); i += 2) logits[i] = -0.0F;
  check_gate(spec_of(256, 8, 8, 4), logits, {});
}

TEST_CASE("a gate that does not fit a warp is refused", "[both_orders]") {
  GateTopK p = {nullptr, nullptr, nullptr, nullptr, 0, 256, 8, 4, 8, 1};
  CHECK_NOTHROW(gate_top_k(p, nullptr));
  p.num_experts = 40;
  CHECK_THROWS_AS(gate_top_k(p, nullptr), std::invalid_argument);
  p.num_experts = 256;
  p.num_groups = 6;
  CHECK_THROWS_AS(gate_top_k(p, nullptr), std::invalid_argument);
  p.num_groups = 32;
  p.max_groups = 1;
  p.top_k = 9;
  CHECK_THROWS_AS(gate_top_k(p, nullptr), std::invalid_argument);
}

}  // namespace moesim
