// The gate against hand-solved tokens, and against a brute force in double on small cases that are
// full of ties.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <stdexcept>

#include "model/gate.hpp"
#include "model/random.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

constexpr auto kSoftmax = ScoreFunction::softmax;
constexpr auto kSigmoid = ScoreFunction::sigmoid;
constexpr auto kBestExpert = GroupScore::best_expert;
constexpr auto kSumOfBest = GroupScore::sum_of_best;

GateSpec ungrouped(std::int64_t num_experts, std::int64_t top_k, ScoreFunction score) {
  return {num_experts, top_k, 1, 1, score, kSumOfBest, false, 1};
}

RoutedTokens route(const GateSpec& spec,
                   const std::vector<float>& logits,
                   const std::vector<float>& bias = {}) {
  RoutedTokens out;
  Gate(spec).route(
      logits.data(), static_cast<std::int64_t>(logits.size()) / spec.num_experts, bias, out);
  return out;
}

using Experts = std::vector<std::int32_t>;

struct Choice {
  Experts experts;
  std::vector<double> weights;
};

// The `count` greatest values among `from`, by sorting: equal ones keep their order.
Experts greatest(const std::vector<double>& values, Experts from, std::int64_t count) {
  std::stable_sort(from.begin(), from.end(), [&](std::int32_t a, std::int32_t b) {
    return values[static_cast<std::size_t>(a)] > values[static_cast<std::size_t>(b)];
  });
  from.resize(static_cast<std::size_t>(count));
  return from;
}

Experts range(std::int64_t from, std::int64_t to) {
  Experts all(static_cast<std::size_t>(to - from));
  std::iota(all.begin(), all.end(), static_cast<std::int32_t>(from));
  return all;
}

// One token by the words of model/gate.hpp.
Choice brute_force(const GateSpec& spec,
                   const std::vector<float>& logits,
                   const std::vector<float>& bias) {
  std::vector<double> affinity, key;
  double sum = 0;
  for (const float x : logits) {
    const double l = x;
    affinity.push_back(spec.score == kSigmoid ? 1 / (1 + std::exp(-l)) : std::exp(l));
    sum += affinity.back();
  }
  for (std::size_t e = 0; e < affinity.size(); ++e) {
    if (spec.score == kSoftmax) affinity[e] /= sum;
    key.push_back(affinity[e] + (bias.empty() ? 0.0 : static_cast<double>(bias[e])));
  }
  const std::int64_t size = spec.num_experts / spec.num_groups;
  const std::int64_t counted =
      spec.group_score == kBestExpert
          ? 1
          : std::min(size, std::max<std::int64_t>(1, spec.top_k / spec.max_groups));
  std::vector<double> score;
  for (std::int64_t g = 0; g < spec.num_groups; ++g) {
    score.push_back(0);
    for (const auto e : greatest(key, range(g * size, (g + 1) * size), counted))
      score.back() += key[static_cast<std::size_t>(e)];
  }
  Experts groups = greatest(score, range(0, spec.num_groups), spec.max_groups), candidates;
  std::sort(groups.begin(), groups.end());
  for (const auto g : groups)
    for (const auto e : range(g * size, (g + 1) * size)) candidates.push_back(e);
  Choice choice{greatest(key, candidates, spec.top_k), {}};
  double chosen = 0;
  for (const auto e : choice.experts) chosen += affinity[static_cast<std::size_t>(e)];
  for (const auto e : choice.experts)
    choice.weights.push_back(affinity[static_cast<std::size_t>(e)] * spec.scale /
                             (spec.renormalise ? chosen : 1));
  return choice;
}

std::int64_t pick(Random& random, std::int64_t count) {
  return static_cast<std::int64_t>(random.uniform() * static_cast<double>(count));
}

GateSpec random_spec(Random& random) {
  GateSpec spec;
  spec.num_groups = 1 + pick(random, 8);
  const std::int64_t size = 1 + pick(random, 24 / spec.num_groups + 4);
  spec.num_experts = spec.num_groups * size;
  spec.max_groups = 1 + pick(random, spec.num_groups);
  const std::int64_t published[] = {1, 2, 6, 8};  // Switch, GShard, V2, V3
  spec.top_k = std::min(published[pick(random, 4)], spec.max_groups * size);
  if (pick(random, 8) == 0) spec.top_k = 1 + pick(random, spec.max_groups * size);
  spec.score = pick(random, 2) == 0 ? kSoftmax : kSigmoid;
  spec.group_score = pick(random, 2) == 0 ? kBestExpert : kSumOfBest;
  spec.renormalise = pick(random, 2) == 0;
  spec.scale = pick(random, 2) == 0 ? 1 : 2.5;
  return spec;
}

void check_token(const GateSpec& spec,
                 const RoutedTokens& routed,
                 std::int64_t token,
                 const Choice& expected) {
  const auto k = static_cast<std::size_t>(spec.top_k), first = static_cast<std::size_t>(token) * k;
  CHECK(Experts(routed.experts.begin() + static_cast<std::ptrdiff_t>(first),
                routed.experts.begin() + static_cast<std::ptrdiff_t>(first + k)) ==
        expected.experts);
  double worst = 0;
  for (std::size_t i = 0; i < k; ++i)
    worst = std::max(worst, std::abs(routed.weights[first + i] / expected.weights[i] - 1));
  CHECK(worst < 2e-6);
}

}  // namespace

TEST_CASE("gate equals a brute force on small cases full of ties", "[gate]") {
  Random random(3);
  for (int trial = 0; trial < 400; ++trial) {
    const GateSpec spec = random_spec(random);
    const std::int64_t num_tokens = 1 + pick(random, 3);
    std::vector<float> logits;
    // From 1 up: affinities s(-x) = 1 - s(x) would make sums of groups equal but for rounding.
    for (std::int64_t i = 0; i < num_tokens * spec.num_experts; ++i)
      logits.push_back(static_cast<float>(1 + pick(random, 5)));
    CAPTURE(trial, spec.num_experts, spec.num_groups, spec.max_groups, spec.top_k);
    const RoutedTokens routed = route(spec, logits);
    for (std::int64_t t = 0; t < num_tokens; ++t) {
      const auto row = logits.begin() + t * spec.num_experts;
      check_token(spec, routed, t, brute_force(spec, {row, row + spec.num_experts}, {}));
    }
  }
}

TEST_CASE("gate with a bias equals a brute force", "[gate]") {
  Random random(4);
  for (int trial = 0; trial < 400; ++trial) {
    const GateSpec spec = random_spec(random);
    // Sums over a group take a bias of any size: that of two equal biases could tie but for
    // rounding.
    const bool summed = spec.group_score == kSumOfBest;
    std::vector<float> logits, bias;
    for (std::int64_t e = 0; e < spec.num_experts; ++e) {
      logits.push_back(static_cast<float>(1 + pick(random, 5)));
      bias.push_back(static_cast<float>(summed ? 0.3 * random.normal()
                                               : 0.25 * static_cast<double>(pick(random, 3))));
    }
    CAPTURE(trial, spec.num_experts, spec.num_groups, spec.max_groups, spec.top_k);
    check_token(spec, route(spec, logits, bias), 0, brute_force(spec, logits, bias));
  }
}

TEST_CASE("gate weighs by softmax over all experts or over the chosen", "[gate]") {
  // exp(logit) = 1, 2, 3, 4; the best two are 4 / 10 and 3 / 10, or 4 / 7 and 3 / 7.
  const std::vector<float> logits = {0, std::log(2.F), std::log(3.F), std::log(4.F)};
  GateSpec spec = ungrouped(4, 2, kSoftmax);
  RoutedTokens routed = route(spec, logits);
  CHECK(routed.experts == Experts{3, 2});
  CHECK(routed.weights[0] == Approx(0.4));
  CHECK(routed.weights[1] == Approx(0.3));
  spec.renormalise = true;
  spec.scale = 14;
  routed = route(spec, logits);
  CHECK(routed.weights[0] == Approx(8));
  CHECK(routed.weights[1] == Approx(6));
}

TEST_CASE("gate scores groups by their best expert as V2 or by a sum as V3", "[gate]") {
  // Two groups of two, one may be used: the first has the best expert, the second the best pair.
  const std::vector<float> logits = {2, -3, 1, 1};
  GateSpec spec{4, 2, 2, 1, kSigmoid, kBestExpert, true, 1};
  CHECK(route(spec, logits).experts == Experts{0, 1});
  spec.group_score = kSumOfBest;
  CHECK(route(spec, logits).experts == Experts{2, 3});
  // One expert a token: one affinity is summed, top_k / max_groups being less would be none.
  spec.top_k = 1;
  CHECK(route(spec, logits).experts == Experts{0});
  spec.max_groups = 2;
  CHECK(route(spec, logits).experts == Experts{0});
}

TEST_CASE("gate bias changes who is chosen and not the weight", "[gate]") {
  const std::vector<float> logits = {0, 1, 2, -1};
  for (const auto score : {kSoftmax, kSigmoid}) {
    const GateSpec spec = ungrouped(4, 1, score);
    CHECK(route(spec, logits).experts == Experts{2});
    const RoutedTokens biased = route(spec, logits, {0, 0.9F, 0, 0});
    CHECK(biased.experts == Experts{1});
    const double sum = 1 + std::exp(1.0) + std::exp(2.0) + std::exp(-1.0);
    CHECK(biased.weights[0] ==
          Approx(score == kSoftmax ? std::exp(1.0) / sum : 1 / (1 + std::exp(-1.0))));
  }
}

TEST_CASE("gate keeps V3's limits on random tokens", "[gate]") {
  const MoeSpec moe = *shipped_model("deepseek-v3").moe;
  Random random(5);
  std::vector<float> logits(256 * 200);
  for (float& x : logits) x = static_cast<float>(random.normal());
  for (std::int64_t max_groups = 1; max_groups <= 8; ++max_groups) {
    const GateSpec spec = gate_spec(moe, max_groups);
    const RoutedTokens routed = route(spec, logits);
    REQUIRE(routed.experts.size() == 1600);
    for (std::size_t t = 0; t < 200; ++t) {
      std::set<std::int32_t> experts, groups;
      double sum = 0;
      for (std::size_t i = 8 * t; i < 8 * t + 8; ++i) {
        const std::int32_t e = routed.experts[i];
        REQUIRE((e >= 0 && e < 256));
        experts.insert(e);
        groups.insert(e / 32);
        sum += static_cast<double>(routed.weights[i]);
        if (i > 8 * t) CHECK(routed.weights[i] <= routed.weights[i - 1]);
      }
      CHECK(experts.size() == 8);
      CHECK(static_cast<std::int64_t>(groups.size()) <= max_groups);
      CHECK(sum == Approx(2.5).epsilon(1e-6));
    }
  }
}

TEST_CASE("gate breaks ties by the lowest index wherever the expert stands", "[gate]") {
  for (const std::int64_t num_experts : {3, 8, 63, 160, 257}) {
    const std::vector<float> logits(static_cast<std::size_t>(num_experts), 0.37F);
    const std::vector<float> bias(static_cast<std::size_t>(num_experts), 0.1F);
    for (const auto score : {kSoftmax, kSigmoid}) {
      CHECK(route(ungrouped(num_experts, 3, score), logits).experts == Experts{0, 1, 2});
      CHECK(route(ungrouped(num_experts, 3, score), logits, bias).experts == Experts{0, 1, 2});
    }
  }
  // All groups alike: the first two of five.
  const GateSpec grouped{20, 6, 5, 2, kSigmoid, kSumOfBest, true, 1};
  CHECK(route(grouped, std::vector<float>(20, -1.5F)).experts == Experts{0, 1, 2, 3, 4, 5});
}

TEST_CASE("gate routes a token alike alone and among others", "[gate]") {
  const GateSpec spec{40, 6, 4, 2, kSoftmax, kSumOfBest, false, 1};
  Random random(6);
  std::vector<float> logits(40 * 100);  // more than three blocks
  for (float& x : logits) x = static_cast<float>(3 * random.normal());
  const RoutedTokens together = route(spec, logits);
  for (std::size_t t = 0; t < 100; ++t) {
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(40 * t);
    const RoutedTokens alone = route(spec, {row, row + 40});
    const auto at = static_cast<std::ptrdiff_t>(6 * t);
    CHECK(std::equal(alone.experts.begin(), alone.experts.end(), together.experts.begin() + at));
    CHECK(std::equal(alone.weights.begin(), alone.weights.end(), together.weights.begin() + at));
  }
}

TEST_CASE("gate reuses the memory of its result", "[gate]") {
  const Gate gate(ungrouped(4, 2, kSoftmax));
  const std::vector<float> logits = {4, 3, 2, 1, 1, 2, 3, 4};
  RoutedTokens out;
  gate.route(logits.data(), 2, {}, out);
  const std::int32_t* const memory = out.experts.data();
  gate.route(logits.data() + 4, 1, {}, out);
  CHECK(out.num_tokens == 1);
  CHECK(out.experts == Experts{3, 2});
  CHECK(out.experts.data() == memory);
}

TEST_CASE("gate stays finite at extreme logits and orders what saturates", "[gate]") {
  // The sigmoids of 30 and more are all 1 in float, and their logits still differ.
  const RoutedTokens high = route(ungrouped(4, 2, kSigmoid), {30, 31, 200, 1e30F});
  CHECK(high.experts == Experts{3, 2});
  CHECK(high.weights == std::vector<float>{1, 1});
  // A softmax does not change when all logits grow alike, and neither do the scores of its groups.
  const GateSpec grouped{6, 2, 3, 1, kSoftmax, kSumOfBest, true, 1};
  for (const float shift : {0.F, 500.F, -500.F}) {
    const RoutedTokens tokens =
        route(grouped, {shift + 1, shift + 2, shift + 4, shift - 9, shift + 3.5F, shift + 3.25F});
    CHECK(tokens.experts == Experts{4, 5});
    CHECK(tokens.weights[0] == Approx(1 / (1 + std::exp(-0.25))));
  }
  for (const auto score : {kSoftmax, kSigmoid}) {
    GateSpec spec = ungrouped(3, 2, score);
    spec.renormalise = true;
    for (const float x : route(spec, {-1e30F, -200, 1e30F}, {1, 1, 0}).weights)
      CHECK(std::isfinite(x));
  }
}

TEST_CASE("gate never chooses a NaN and says so where it cannot choose", "[gate]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(route(ungrouped(4, 2, kSigmoid), {1, nan, 3, 2}).experts == Experts{2, 3});
  CHECK_THROWS_AS(route(ungrouped(4, 4, kSigmoid), {1, nan, 3, 2}), std::logic_error);
  CHECK_THROWS_AS(route(ungrouped(4, 2, kSoftmax), {1, nan, 3, 2}), std::logic_error);
  CHECK_THROWS_AS(route(ungrouped(20, 17, kSigmoid), std::vector<float>(20, nan)),
                  std::logic_error);
}

TEST_CASE("gate affinities are the formulas to float accuracy", "[gate]") {
  const std::vector<float> logits = {-80, -12.5F, -9.01F, -3, -0.5F, 0, 1e-4F, 0.7F, 5, 14, 40};
  std::vector<float> sigmoid(logits.size()), softmax(logits.size());
  Gate(ungrouped(11, 1, kSigmoid)).affinities(logits.data(), 1, sigmoid.data());
  Gate(ungrouped(11, 1, kSoftmax)).affinities(logits.data(), 1, softmax.data());
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x));
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double l = logits[i];
    CAPTURE(l);
    CHECK(sigmoid[i] == Approx(1 / (1 + std::exp(-l))).epsilon(4e-7));
    // The largest logit is subtracted in float, at a rounding of 2^-19 below 64.
    CHECK(softmax[i] == Approx(std::exp(l) / sum).epsilon(4e-6).margin(1e-37));
  }
}

TEST_CASE("gate refuses a specification that cannot choose", "[gate]") {
  GateSpec spec{16, 4, 4, 2, kSoftmax, kSumOfBest, false, 1};
  CHECK_NOTHROW(Gate(spec));
  const auto spoilt = [&](auto change) {
    GateSpec s = spec;
    change(s);
    return s;
  };
  CHECK_THROWS_AS(Gate(spoilt([](GateSpec& g) { g.num_groups = 3; })), std::logic_error);
  CHECK_THROWS_AS(Gate(spoilt([](GateSpec& g) { g.max_groups = 5; })), std::logic_error);
  CHECK_THROWS_AS(Gate(spoilt([](GateSpec& g) { g.max_groups = 0; })), std::logic_error);
  CHECK_THROWS_AS(Gate(spoilt([](GateSpec& g) { g.top_k = 9; })), std::logic_error);
  CHECK_THROWS_AS(Gate(spoilt([](GateSpec& g) { g.top_k = 0; })), std::logic_error);
  CHECK_THROWS_AS(route(spec, std::vector<float>(16), {1, 2}), std::logic_error);
}
