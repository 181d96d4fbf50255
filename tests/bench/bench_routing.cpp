// Tokens a second through the gates and from the random logits that feed them.
#include <cstdio>
#include <vector>

#include "model/token_logits.hpp"
#include "tests/bench/bench.hpp"
#include "tests/shipped_data.hpp"

namespace moesim {
namespace {

void bench_gate(const char* name, const GateSpec& spec, bool biased) {
  constexpr std::int64_t kTokens = 512, kRounds = 400;  // the logits stay in the cache
  std::vector<float> logits(static_cast<std::size_t>(kTokens * spec.num_experts));
  Random random(1);
  TokenLogits(spec.num_experts, {}).draw(random, kTokens, logits.data());
  std::vector<float> bias;
  if (biased) bias.assign(static_cast<std::size_t>(spec.num_experts), 0.01F);
  const Gate gate(spec);
  RoutedTokens routed;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) gate.route(logits.data(), kTokens, bias, routed);
  std::printf(
      "gate, %s: %.2f million tokens/s\n", name, kTokens * kRounds / seconds_since(start) / 1e6);
}

void bench_logits() {
  constexpr std::int64_t kTokens = 4096, kRounds = 20;
  std::vector<float> logits(kTokens * 256);
  const TokenLogits source(256, {});
  Random random(1);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) source.draw(random, kTokens, logits.data());
  std::printf("logits of 256 experts: %.2f million tokens/s\n",
              kTokens * kRounds / seconds_since(start) / 1e6);
}

}  // namespace

void bench_routing() {
  const MoeSpec v3 = *shipped_scenario("deepseek-v3-chunk").model.moe;
  bench_gate("DeepSeek-V3, top-8 of 256 in 4 of 8 groups", gate_spec(v3, 4), false);
  bench_gate("the same with a bias", gate_spec(v3, 4), true);
  GateSpec small;
  small.num_experts = 64;
  small.top_k = 6;
  bench_gate("softmax top-6 of 64", small, false);
  bench_logits();
}

}  // namespace moesim
