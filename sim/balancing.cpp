#include "sim/balancing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/errors.hpp"

namespace moesim {
namespace {

using Size = std::size_t;

// Far below any logit and bias, yet its sigmoid and exponential are numbers.
constexpr float kOut = -1e30F;

std::vector<bool> draw_dropped(const BalancingOptions& options, Random& random) {
  std::vector<bool> dropped(static_cast<Size>(options.gate.num_experts), false);
  if (options.expert_dropout == 0) return dropped;
  std::int64_t left = options.gate.num_experts;
  for (Size e = 0; e < dropped.size(); ++e) {
    dropped[e] = random.uniform() < options.expert_dropout && left > options.gate.top_k;
    left -= dropped[e] ? 1 : 0;
  }
  return dropped;
}

struct LossAndGradient {
  double loss = 0;
  std::vector<double> gradient;  // [num_experts]
};

// The mean over the sequences of a batch. affinities: [num_tokens, num_experts].
LossAndGradient sequence_losses(const BalancingOptions& options,
                                const RoutedTokens& routed,
                                std::span<const float> affinities) {
  const Size num_sequences = static_cast<Size>(options.num_sequences),
             num_experts = static_cast<Size>(options.gate.num_experts);
  const Size choices = routed.experts.size() / num_sequences,
             values = affinities.size() / num_sequences;
  LossAndGradient mean{0, std::vector<double>(num_experts, 0)};
  for (Size i = 0; i < num_sequences; ++i) {
    const ChosenExperts chosen{{routed.experts.data() + i * choices, choices}, routed.top_k};
    const auto own = affinities.subspan(i * values, values);
    const BalanceLoss loss = balance_loss(
        options.loss, options.devices, chosen, mean_affinity(own, options.gate.num_experts));
    const auto gradient = offset_gradient(options.gate.score, own, loss.slope);
    mean.loss += loss.value / static_cast<double>(num_sequences);
    for (Size e = 0; e < num_experts; ++e)
      mean.gradient[e] += gradient[e] / static_cast<double>(num_sequences);
  }
  return mean;
}

std::vector<std::uint8_t> protected_tokens(const BalancingOptions& options) {
  const auto sequences = static_cast<std::int64_t>(
      std::ceil(options.protected_share * static_cast<double>(options.num_sequences)));
  std::vector<std::uint8_t> tokens(static_cast<Size>(options.tokens_per_batch), 0);
  std::fill_n(tokens.begin(), sequences * (options.tokens_per_batch / options.num_sequences), 1);
  return tokens;
}

void check(const BalancingOptions& options) {
  ENSURE(static_cast<std::int64_t>(options.offsets.size()) == options.gate.num_experts);
  ENSURE(options.num_batches >= 1 && options.tokens_per_batch >= 1 && options.num_sequences >= 1);
  ENSURE(options.tokens_per_batch % options.num_sequences == 0);
  ENSURE(options.devices.num_devices >= 1 && options.devices.max_devices >= 1 &&
         options.gate.num_experts % options.devices.num_devices == 0);
  ENSURE(options.protected_share >= 0 && options.protected_share <= 1);
  ENSURE(options.expert_dropout >= 0 && options.expert_dropout < 1);
}

}  // namespace

std::vector<std::int64_t> expert_loads(const RoutedTokens& routed, std::int64_t num_experts) {
  std::vector<std::int64_t> loads(static_cast<Size>(num_experts), 0);
  for (const std::int32_t e : routed.experts) ++loads[static_cast<Size>(e)];
  return loads;
}

double max_violation(std::span<const std::int64_t> loads) {
  const auto total = std::accumulate(loads.begin(), loads.end(), std::int64_t{0});
  const double mean = static_cast<double>(total) / static_cast<double>(loads.size());
  return static_cast<double>(*std::max_element(loads.begin(), loads.end())) / mean - 1;
}

double coefficient_of_variation(std::span<const std::int64_t> loads) {
  const auto total = std::accumulate(loads.begin(), loads.end(), std::int64_t{0});
  const double n = static_cast<double>(loads.size()), mean = static_cast<double>(total) / n;
  double squares = 0;
  for (const std::int64_t load : loads) squares += std::pow(static_cast<double>(load) - mean, 2);
  return std::sqrt(squares / n) / mean;
}

void update_bias(std::span<const std::int64_t> loads, double speed, std::vector<float>& bias) {
  const auto total = std::accumulate(loads.begin(), loads.end(), std::int64_t{0});
  for (Size e = 0; e < bias.size(); ++e) {
    const std::int64_t load = loads[e] * static_cast<std::int64_t>(loads.size());  // against total
    if (load != total) bias[e] += static_cast<float>(load < total ? speed : -speed);
  }
}

BalancingResult simulate_balancing(const BalancingOptions& options) {
  check(options);
  const Gate gate(options.gate);
  const Size num_experts = options.offsets.size(),
             num_tokens = static_cast<Size>(options.tokens_per_batch);
  const std::vector<std::uint8_t> never_dropped = protected_tokens(options);
  Random random(options.seed, 0xba1);
  BalancingResult result;
  result.offsets = options.offsets;
  result.bias.assign(num_experts, 0);
  std::vector<std::int64_t> total(num_experts, 0);
  std::vector<float> logits(num_tokens * num_experts), affinities;
  RoutedTokens routed;
  for (std::int64_t batch = 0; batch < options.num_batches; ++batch) {
    TokenLogits(options.gate.num_experts, options.correlation, result.offsets)
        .draw(random, options.tokens_per_batch, logits.data());
    std::vector<float> bias;  // none where it is not used: the gate then compares exact logits
    if (options.bias_speed != 0) bias = result.bias;
    const std::vector<bool> dropped = draw_dropped(options, random);
    for (Size e = 0; e < num_experts; ++e) {
      if (!dropped[e]) continue;
      if (!bias.empty()) bias[e] = kOut;
      for (Size t = 0; t < num_tokens; ++t) logits[t * num_experts + e] = kOut;
    }
    gate.route(logits.data(), options.tokens_per_batch, bias, routed);

    const auto loads = expert_loads(routed, options.gate.num_experts);
    for (Size e = 0; e < num_experts; ++e) total[e] += loads[e];
    result.max_vio.push_back(max_violation(loads));
    result.cv.push_back(coefficient_of_variation(loads));
    result.drop_rate.push_back(
        drop_over_capacity(routed, options.gate.num_experts, options.capacity, never_dropped)
            .drop_rate);

    LossAndGradient learnt;
    if (options.loss.any()) {
      affinities.resize(logits.size());
      gate.affinities(logits.data(), options.tokens_per_batch, affinities.data());
      learnt = sequence_losses(options, routed, affinities);
      for (Size e = 0; e < num_experts; ++e)
        result.offsets[e] -= static_cast<float>(options.learning_rate * learnt.gradient[e]);
    }
    result.loss.push_back(learnt.loss);
    update_bias(loads, options.bias_speed, result.bias);
  }
  result.max_vio_global = max_violation(total);
  return result;
}

}  // namespace moesim
