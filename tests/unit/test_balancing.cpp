// Balance losses against hand-worked sums and numerical derivatives, capacity against counting, and
// what the two balancing mechanisms do to a router that starts skewed.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/balancing.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

constexpr auto kSoftmax = ScoreFunction::softmax;
constexpr auto kSigmoid = ScoreFunction::sigmoid;

// Two tokens, four experts on two devices, top 2.
const std::vector<std::int32_t> kTwoTokens = {1, 0, 0, 2};
const ChosenExperts kChosen{kTwoTokens, 2};
const std::vector<double> kMean = {0.4, 0.3, 0.2, 0.1};

std::vector<double> affinities_of(ScoreFunction score, const std::vector<double>& logits) {
  std::vector<double> out;
  for (const double l : logits)
    out.push_back(score == kSigmoid ? 1 / (1 + std::exp(-l)) : std::exp(l));
  return out;
}

// P of tokens whose logits are [num_tokens, offsets.size()], moved by the offsets.
std::vector<double> mean_shares(ScoreFunction score,
                                const std::vector<double>& logits,
                                const std::vector<double>& offsets) {
  const std::size_t n = offsets.size();
  std::vector<double> mean(n, 0);
  for (std::size_t t = 0; t < logits.size() / n; ++t) {
    std::vector<double> row(n);
    for (std::size_t e = 0; e < n; ++e) row[e] = logits[t * n + e] + offsets[e];
    const std::vector<double> affinity = affinities_of(score, row);
    const double sum = std::accumulate(affinity.begin(), affinity.end(), 0.0);
    for (std::size_t e = 0; e < n; ++e)
      mean[e] += affinity[e] / sum * static_cast<double>(n) / static_cast<double>(logits.size());
  }
  return mean;
}

RoutedTokens routed(std::int64_t top_k, std::vector<std::int32_t> experts, std::vector<float> w) {
  return {
      static_cast<std::int64_t>(experts.size()) / top_k, top_k, std::move(experts), std::move(w)};
}

double mean_of_last(const std::vector<double>& series, std::ptrdiff_t count) {
  return std::accumulate(series.end() - count, series.end(), 0.0) / static_cast<double>(count);
}

// Top 2 of 16, sigmoid, groups as V3: enough to see what happens, small enough to be quick.
BalancingOptions small_router() {
  BalancingOptions options;
  options.gate = {16, 2, 4, 2, kSigmoid, GroupScore::sum_of_best, true, 1};
  Random random(7, 0x5ce3);
  for (int e = 0; e < 16; ++e) options.offsets.push_back(static_cast<float>(random.normal()));
  options.tokens_per_batch = 1024;
  options.num_batches = 150;
  return options;
}

}  // namespace

TEST_CASE("expert balance loss by hand", "[balancing]") {
  // Chosen 2, 1, 1 and 0 times; N / (K T) = 1, so these are f. L = 2 x 0.4 + 0.3 + 0.2.
  const BalanceLoss loss = expert_loss(kChosen, kMean);
  CHECK(loss.slope == std::vector<double>{2, 1, 1, 0});
  CHECK(loss.value == Approx(1.3));
}

TEST_CASE("Switch's loss is the expert loss with one expert a token", "[balancing]") {
  // Of four tokens half go to expert 0, a quarter each to 1 and 3: N sum f P with N = 4.
  const std::vector<std::int32_t> experts = {0, 3, 0, 1};
  const double by_hand = 4 * (0.5 * 0.4 + 0.25 * 0.3 + 0.25 * 0.1);
  CHECK(expert_loss({experts, 1}, kMean).value == Approx(by_hand));
}

TEST_CASE("device balance loss by hand", "[balancing]") {
  // f' = (2 + 1) / 2 and (1 + 0) / 2; P' = 0.7 and 0.3.
  const BalanceLoss loss = device_loss(kChosen, kMean, 2);
  CHECK(loss.slope == std::vector<double>{1.5, 1.5, 0.5, 0.5});
  CHECK(loss.value == Approx(1.5 * 0.7 + 0.5 * 0.3));
  CHECK(device_loss(kChosen, kMean, 4).value == Approx(expert_loss(kChosen, kMean).value));
  CHECK(device_loss(kChosen, kMean, 1).value == Approx(1));
}

TEST_CASE("communication balance loss by hand", "[balancing]") {
  // The first token is sent to device 0 alone, once; the second to both. D / (M T) = 2 / (2 x 2).
  const BalanceLoss loss = communication_loss(kChosen, kMean, {2, 2});
  CHECK(loss.slope == std::vector<double>{1, 1, 0.5, 0.5});
  CHECK(loss.value == Approx(0.7 + 0.5 * 0.3));
  CHECK(communication_loss(kChosen, kMean, {2, 1}).value == Approx(2 * loss.value));
}

TEST_CASE("balance losses are 1 in perfect balance", "[balancing]") {
  // Every expert once, every token on two of the four devices.
  const std::vector<std::int32_t> experts = {0, 2, 4, 6, 1, 3, 5, 7};
  const std::vector<double> mean(8, 0.125);
  CHECK(expert_loss({experts, 2}, mean).value == Approx(1));
  CHECK(device_loss({experts, 2}, mean, 4).value == Approx(1));
  CHECK(communication_loss({experts, 2}, mean, {4, 2}).value == Approx(1));
  CHECK(entropy_loss(mean).value == Approx(-std::log(8)));
}

TEST_CASE("balance losses are weighted as published and added", "[balancing]") {
  const BalanceWeights v2{0.003, 0.05, 0.02, 0};
  const BalanceLoss loss = balance_loss(v2, {2, 2}, kChosen, kMean);
  CHECK(loss.value == Approx(0.003 * 1.3 + 0.05 * 1.2 + 0.02 * 0.85));
  CHECK(loss.slope[3] == Approx(0.05 * 0.5 + 0.02 * 0.5));
  CHECK(balance_loss({0, 0, 0, 2}, {1, 1}, kChosen, {kMean}).value ==
        Approx(2 * entropy_loss(kMean).value));
  CHECK_THROWS_AS(device_loss(kChosen, kMean, 3), std::logic_error);
  CHECK_THROWS_AS(communication_loss(kChosen, kMean, {5, 1}), std::logic_error);
}

TEST_CASE("mean affinity divides every token's by their sum", "[balancing]") {
  const std::vector<float> affinities = {0.5F, 0.5F, 0.9F, 0.1F, 0.2F, 0.1F};
  const auto mean = mean_affinity(affinities, 2);
  CHECK(mean[0] == Approx((0.5 + 0.9 + 2.0 / 3) / 3));
  CHECK(mean[1] == Approx((0.5 + 0.1 + 1.0 / 3) / 3));
}

TEST_CASE("offset gradient equals the numerical derivative", "[balancing]") {
  Random random(11);
  constexpr std::size_t kExperts = 6, kTokens = 5;
  for (const auto score : {kSoftmax, kSigmoid}) {
    std::vector<double> logits(kExperts * kTokens), offsets(kExperts);
    for (double& x : logits) x = 1.5 * random.normal();
    for (double& x : offsets) x = random.normal();
    std::vector<float> affinities;
    for (std::size_t t = 0; t < kTokens; ++t) {
      std::vector<double> row(kExperts);
      for (std::size_t e = 0; e < kExperts; ++e) row[e] = logits[t * kExperts + e] + offsets[e];
      auto own = affinities_of(score, row);
      const double sum = std::accumulate(own.begin(), own.end(), 0.0);
      for (const double a : own)
        affinities.push_back(static_cast<float>(score == kSoftmax ? a / sum : a));
    }
    const std::vector<std::int32_t> experts = {0, 1, 0, 2, 3, 0, 0, 5, 2, 1};
    const BalanceWeights weights{0.3, 0.5, 0.2, 0.4};
    const auto total = [&](const std::vector<double>& at) {
      return balance_loss(weights, {3, 2}, {experts, 2}, mean_shares(score, logits, at)).value;
    };
    const auto loss =
        balance_loss(weights, {3, 2}, {experts, 2}, mean_affinity(affinities, kExperts));
    CHECK(loss.value == Approx(total(offsets)).epsilon(1e-6));
    const auto gradient = offset_gradient(score, affinities, loss.slope);
    for (std::size_t e = 0; e < kExperts; ++e) {
      auto up = offsets, down = offsets;
      up[e] += 1e-5;
      down[e] -= 1e-5;
      CAPTURE(e);
      CHECK(gradient[e] == Approx((total(up) - total(down)) / 2e-5).epsilon(1e-5).margin(1e-8));
    }
  }
}

TEST_CASE("bias update moves by the sign of the load's error", "[balancing]") {
  std::vector<float> bias = {0.5F, 0, 0, 0};
  update_bias(std::vector<std::int64_t>{9, 0, 5, 6}, 0.25, bias);  // mean 5
  CHECK(bias == std::vector<float>{0.25F, 0.25F, 0, -0.25F});
}

TEST_CASE("MaxVio and CV by hand", "[balancing]") {
  const std::vector<std::int64_t> loads = {2, 4, 6, 8};  // mean 5, squares 9 + 1 + 1 + 9
  CHECK(max_violation(loads) == Approx(0.6));
  CHECK(coefficient_of_variation(loads) == Approx(std::sqrt(5.0) / 5));
  CHECK(max_violation(std::vector<std::int64_t>{3, 3}) == 0);
}

TEST_CASE("capacity drops the lowest affinities of an expert first", "[balancing]") {
  // Expert 0 has three of the four choices and room for ceil(1 x 4 / 2) = 2.
  const RoutedTokens tokens = routed(1, {0, 0, 0, 1}, {0.5F, 0.2F, 0.9F, 0.1F});
  const DropResult result = drop_over_capacity(tokens, 2, {1, 1}, {});
  CHECK(result.capacity == 2);
  CHECK(result.kept == std::vector<std::uint8_t>{1, 0, 1, 1});
  CHECK(result.drop_rate == 0.25);
  CHECK(drop_over_capacity(tokens, 2, {1.5, 1}, {}).num_dropped == 0);
  CHECK(drop_over_capacity(tokens, 2, {0, 1}, {}).kept == std::vector<std::uint8_t>{1, 1, 1, 1});
  // Of equal affinities the later token goes.
  const RoutedTokens equal = routed(1, {0, 0, 0, 1}, {0.5F, 0.5F, 0.5F, 0.5F});
  CHECK(drop_over_capacity(equal, 2, {1, 1}, {}).kept == std::vector<std::uint8_t>{1, 1, 0, 1});
}

TEST_CASE("capacity of a device is shared by its experts", "[balancing]") {
  // Experts 0 and 1 share a device with room for 2; the lowest of the three is expert 1's.
  const RoutedTokens tokens = routed(1, {0, 1, 0, 2}, {0.5F, 0.2F, 0.9F, 0.1F});
  CHECK(drop_over_capacity(tokens, 4, {1, 2}, {}).kept == std::vector<std::uint8_t>{1, 0, 1, 1});
}

TEST_CASE("protected tokens are kept and take room before others", "[balancing]") {
  const RoutedTokens tokens = routed(1, {0, 0, 0, 1}, {0.5F, 0.2F, 0.9F, 0.1F});
  const DropResult one =
      drop_over_capacity(tokens, 2, {1, 1}, std::vector<std::uint8_t>{0, 1, 0, 0});
  CHECK(one.kept == std::vector<std::uint8_t>{0, 1, 1, 1});
  CHECK(one.num_units_over == 0);
  const DropResult all =
      drop_over_capacity(tokens, 2, {1, 1}, std::vector<std::uint8_t>{1, 1, 1, 0});
  CHECK(all.num_dropped == 0);
  CHECK(all.num_units_over == 1);
}

TEST_CASE("capacity conserves choices and is kept by every unit", "[balancing]") {
  Random random(12);
  for (int trial = 0; trial < 60; ++trial) {
    const Gate gate({24, 3, 4, 3, kSoftmax, GroupScore::best_expert, false, 1});
    std::vector<float> logits(24 * 40);
    for (std::size_t i = 0; i < logits.size(); ++i)
      logits[i] = static_cast<float>(random.normal() + 0.1 * static_cast<double>(i % 24));
    RoutedTokens tokens;
    gate.route(logits.data(), 40, {}, tokens);
    std::vector<std::uint8_t> is_protected(40);
    for (auto& p : is_protected) p = random.uniform() < 0.2 ? 1 : 0;
    const CapacitySpec spec{0.5 + random.uniform(), trial % 2 == 0 ? 1 : 6};
    const DropResult result = drop_over_capacity(tokens, 24, spec, is_protected);
    std::int64_t kept = 0, units_over = 0;
    for (std::int64_t unit = 0; unit < 24 / spec.experts_per_unit; ++unit) {
      std::int64_t held = 0, held_protected = 0, wanted = 0;
      float lowest_kept = 2, highest_dropped = -1;
      for (std::size_t i = 0; i < 120; ++i) {
        if (tokens.experts[i] / spec.experts_per_unit != unit) continue;
        ++wanted;
        const bool safe = is_protected[i / 3] != 0;
        held += result.kept[i];
        held_protected += safe ? 1 : 0;
        if (safe) CHECK(result.kept[i] == 1);
        if (!safe && result.kept[i] == 1) lowest_kept = std::min(lowest_kept, tokens.weights[i]);
        if (result.kept[i] == 0) highest_dropped = std::max(highest_dropped, tokens.weights[i]);
      }
      CHECK(held == std::max(held_protected, std::min(wanted, result.capacity)));
      CHECK(highest_dropped <= lowest_kept);
      units_over += held > result.capacity ? 1 : 0;
      kept += held;
    }
    CHECK(kept + result.num_dropped == 120);
    CHECK(result.num_units_over == units_over);
  }
}

TEST_CASE("without balancing a router stays skewed and unchanged", "[balancing]") {
  BalancingOptions options = small_router();
  options.num_batches = 20;
  const BalancingResult result = simulate_balancing(options);
  CHECK(result.offsets == options.offsets);
  CHECK(result.bias == std::vector<float>(16, 0));
  CHECK(result.max_vio.size() == 20);
  CHECK(mean_of_last(result.max_vio, 10) > 1.5);
  CHECK(
      mean_of_last(result.max_vio, 10) ==
      Approx(mean_of_last({result.max_vio.begin(), result.max_vio.begin() + 10}, 10)).epsilon(0.1));
  CHECK(result.max_vio_global == Approx(mean_of_last(result.max_vio, 20)).epsilon(0.1));
}

TEST_CASE("bias updates bring a skewed router down to the sampling floor", "[balancing]") {
  BalancingOptions options = small_router();
  options.bias_speed = 0.004;
  options.num_batches = 200;
  const BalancingResult result = simulate_balancing(options);
  CHECK(result.offsets == options.offsets);
  CHECK(result.max_vio.front() > 1.5);
  // What a router without any skew shows: chance alone.
  BalancingOptions fair = small_router();
  fair.offsets.assign(16, 0);
  const BalancingResult floor = simulate_balancing(fair);
  CHECK(mean_of_last(result.max_vio, 50) < 1.35 * mean_of_last(floor.max_vio, 50));
  CHECK(mean_of_last(result.cv, 50) < 1.35 * mean_of_last(floor.cv, 50));
  // Slower updates have not come as far after as many batches, and faster ones overshoot more.
  options.bias_speed = 0.0005;
  CHECK(mean_of_last(simulate_balancing(options).cv, 50) > 1.5 * mean_of_last(result.cv, 50));
  options.bias_speed = 0.02;
  CHECK(mean_of_last(simulate_balancing(options).cv, 50) > 1.5 * mean_of_last(result.cv, 50));
}

TEST_CASE("an auxiliary loss balances the more the larger its coefficient", "[balancing]") {
  BalancingOptions options = small_router();
  options.gate = {16, 2, 1, 1, kSoftmax, GroupScore::best_expert, false, 1};
  options.learning_rate = 100;
  options.devices = {4, 2};
  const double skewed = simulate_balancing(options).cv.front();
  double last = skewed;
  for (const double alpha : {0.001, 0.003, 0.01}) {
    options.loss = {alpha, 0, 0, 0};
    const BalancingResult result = simulate_balancing(options);
    CHECK(mean_of_last(result.cv, 10) < 0.9 * last);
    CHECK(result.loss.back() < result.loss.front());
    CHECK(result.loss.back() >= 0.99 * alpha);  // alpha in perfect balance
    last = mean_of_last(result.cv, 10);
  }
  CHECK(last < 0.2 * skewed);
  options.loss = {0, 0, 0, 0.003};  // entropy alone does it too
  CHECK(mean_of_last(simulate_balancing(options).cv, 10) < 0.9 * skewed);
}

TEST_CASE("a device loss balances devices and not the experts in them", "[balancing]") {
  BalancingOptions options = small_router();
  options.gate = {4, 1, 1, 1, kSoftmax, GroupScore::best_expert, false, 1};
  options.offsets = {1, -1, 1, -1};  // two alike devices of unlike experts
  options.devices = {2, 1};
  options.loss = {0, 0.05, 0, 0};
  options.learning_rate = 100;
  options.num_batches = 30;
  const BalancingResult result = simulate_balancing(options);
  CHECK(mean_of_last(result.cv, 10) > 0.5);
  options.offsets = {1, 1, -1, -1};
  CHECK(mean_of_last(simulate_balancing(options).cv, 10) < 0.2);
}

TEST_CASE("a loss of sequences is larger than that of their batch", "[balancing]") {
  // By chance a short sequence is less balanced, and its own choices pull at its own affinities.
  BalancingOptions options = small_router();
  options.offsets.assign(16, 0);
  options.num_batches = 5;
  options.loss = {0.0001, 0, 0, 0};  // V3's
  const double batch = mean_of_last(simulate_balancing(options).loss, 5);
  options.num_sequences = 32;
  const double sequences = mean_of_last(simulate_balancing(options).loss, 5);
  CHECK(batch == Approx(0.0001).epsilon(0.01));
  CHECK(sequences > 1.005 * batch);
}

TEST_CASE("balancing reports what a capacity would drop", "[balancing]") {
  BalancingOptions options = small_router();
  options.bias_speed = 0.01;
  options.capacity = {1, 1};
  const BalancingResult result = simulate_balancing(options);
  CHECK(result.drop_rate.front() > 0.2);
  CHECK(mean_of_last(result.drop_rate, 20) < 0.08);
  options.num_batches = 3;
  options.num_sequences = 8;
  options.protected_share = 1;
  CHECK(simulate_balancing(options).drop_rate == std::vector<double>(3, 0));
  options.protected_share = 0;
  options.capacity = {};
  CHECK(simulate_balancing(options).drop_rate == std::vector<double>(3, 0));
}

TEST_CASE("expert dropout leaves experts out of a batch", "[balancing]") {
  for (const double speed : {0.0, 0.01}) {
    BalancingOptions options = small_router();
    options.gate.max_groups = 4;
    options.offsets.assign(16, 0);
    options.bias_speed = speed;
    options.expert_dropout = 0.5;
    options.num_batches = 40;
    const BalancingResult result = simulate_balancing(options);
    // Half of the experts idle: with n of 16 in use alike CV^2 = 16 / n - 1, about 1 on average.
    CHECK(mean_of_last(result.cv, 40) == Approx(1).epsilon(0.25));
    options.expert_dropout = 0.999;  // top_k remain, and each of them gets every token
    const BalancingResult most = simulate_balancing(options);
    CHECK(most.max_vio == std::vector<double>(40, 7));
    if (speed !=
        0) {  // the last ones are those that remain, and had every token of nearly all batches
      CHECK(most.bias.front() > 0);
      CHECK(most.bias.back() < 0);
    }
  }
}

TEST_CASE("balancing is deterministic in its seed", "[balancing]") {
  BalancingOptions options = small_router();
  options.num_batches = 10;
  options.bias_speed = 0.01;
  options.loss = {0.003, 0, 0, 0};
  options.learning_rate = 100;
  const BalancingResult first = simulate_balancing(options), second = simulate_balancing(options);
  CHECK(first.cv == second.cv);
  CHECK(first.bias == second.bias);
  CHECK(first.offsets == second.offsets);
  options.seed = 2;
  CHECK(simulate_balancing(options).cv != first.cv);
}
