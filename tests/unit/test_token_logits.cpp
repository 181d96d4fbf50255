// Synthetic logits: the normal law and its tails, the correlation within a cluster, the same
// numbers from plain scalar arithmetic; and offsets that give wanted loads, checked on tokens of
// their own.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include "model/token_logits.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

std::vector<float> draw(const TokenLogits& logits,
                        std::int64_t num_experts,
                        std::int64_t num_tokens,
                        std::uint64_t seed) {
  Random random(seed);
  std::vector<float> out(static_cast<std::size_t>(num_experts * num_tokens));
  logits.draw(random, num_tokens, out.data());
  return out;
}

// Mean of the products of columns a and b over the rows, each raised to `power`.
double mean_product(const std::vector<float>& rows,
                    std::size_t width,
                    std::size_t a,
                    std::size_t b,
                    int power = 1) {
  double sum = 0;
  for (std::size_t row = 0; row < rows.size(); row += width) {
    sum += std::pow(rows[row + a], power) * std::pow(rows[row + b], power);
  }
  return sum / static_cast<double>(rows.size() / width);
}

// One xoshiro128++ generator as its authors describe it.
struct Xoshiro {
  std::array<std::uint32_t, 4> state{};
  std::uint32_t next() {
    auto& [a, b, c, d] = state;
    const std::uint32_t result = std::rotl(a + d, 7) + a, shifted = b << 9U;
    c ^= a, d ^= b, b ^= c, a ^= d, c ^= shifted, d = std::rotl(d, 11);
    return result;
  }
};

GateSpec v3_gate(std::int64_t max_groups) {
  return {.num_experts = 256,
          .top_k = 8,
          .num_groups = 8,
          .max_groups = max_groups,
          .score = ScoreFunction::sigmoid,
          .group_score = GroupScore::sum_of_best,
          .renormalise = true,
          .scale = 2.5};
}

GateSpec small_gate() { return {.num_experts = 64, .top_k = 6, .score = ScoreFunction::softmax}; }

// Zipf's law with the hottest experts spread over the groups.
std::vector<double> zipf_loads(std::size_t num_experts, double exponent) {
  std::vector<double> loads(num_experts);
  for (std::size_t e = 0; e < num_experts; ++e) {
    loads[e * 37 % num_experts] = std::pow(static_cast<double>(e + 1), -exponent);
  }
  const double sum = std::accumulate(loads.begin(), loads.end(), 0.0);
  for (double& load : loads) load *= static_cast<double>(num_experts) / sum;
  return loads;
}

std::vector<double> realised_loads(const Gate& gate,
                                   const CorrelationSpec& correlation,
                                   const std::vector<float>& offsets,
                                   std::int64_t num_tokens,
                                   std::uint64_t seed) {
  const std::int64_t num_experts = gate.spec().num_experts;
  const std::vector<float> logits =
      draw(TokenLogits(num_experts, correlation, offsets), num_experts, num_tokens, seed);
  RoutedTokens routed;
  gate.route(logits.data(), num_tokens, {}, routed);
  std::vector<double> loads(offsets.size(), 0.0);
  for (const std::int32_t e : routed.experts) loads[static_cast<std::size_t>(e)] += 1;
  const double mean =
      static_cast<double>(num_tokens * gate.spec().top_k) / static_cast<double>(num_experts);
  for (double& load : loads) load /= mean;
  return loads;
}

}  // namespace

TEST_CASE("Logits follow the normal law, tails included") {
  const std::vector<float> z = draw(TokenLogits(256, {}), 256, 8192, 1);
  const auto count = static_cast<double>(z.size());
  std::array<double, 5> moments{};
  for (const float x : z) {
    double power_of_x = 1;
    for (double& moment : moments) {
      moment += power_of_x / count;
      power_of_x *= x;
    }
  }
  // Standard errors of the moments: the variance of x^n is E[x^2n] - E[x^n]^2.
  CHECK(std::abs(moments[1]) < 4 * std::sqrt(1 / count));
  CHECK(std::abs(moments[2] - 1) < 4 * std::sqrt(2 / count));
  CHECK(std::abs(moments[3]) < 4 * std::sqrt(15 / count));
  CHECK(std::abs(moments[4] - 3) < 4 * std::sqrt(96 / count));
  for (const double sigma : {0.5, 1.0, 2.0, 3.0, 4.0}) {
    const double expected = count * 0.5 * std::erfc(sigma / std::numbers::sqrt2);
    for (const double sign : {-1.0, 1.0}) {
      const auto beyond = static_cast<double>(
          std::count_if(z.begin(), z.end(), [&](float x) { return sign * x > sigma; }));
      INFO(sign * sigma << " sigma: " << beyond << " of " << expected);
      CHECK(std::abs(beyond - expected) < 4 * std::sqrt(expected));
    }
  }
}

TEST_CASE("Experts and tokens are independent without correlation") {
  // In a row of 32, places 0 and 16 are one Box-Muller pair.
  const std::int64_t num_tokens = 40000;
  const std::vector<float> z = draw(TokenLogits(32, {}), 32, num_tokens, 2);
  const double error = std::sqrt(1 / static_cast<double>(num_tokens));
  for (const std::size_t other : {1UL, 3UL, 16UL, 17UL, 31UL}) {
    CHECK(std::abs(mean_product(z, 32, 0, other)) < 4 * error);
    // The squares of a pair share their radius: 1 on average only if the angle is uniform. The
    // variance of x^2 y^2 is 8.
    CHECK(std::abs(mean_product(z, 32, 0, other, 2) - 1) < 4 * std::sqrt(8.0) * error);
  }
  const std::vector<float> next(z.begin() + 32, z.end());
  double product = 0;
  for (std::size_t i = 0; i < next.size(); ++i) product += static_cast<double>(z[i] * next[i]);
  const auto count = static_cast<double>(next.size());
  CHECK(std::abs(product / count) < 4 / std::sqrt(count));
}

TEST_CASE("Logits are those of scalar xoshiro128++ generators and Box-Muller") {
  constexpr std::size_t kExperts = 48, kLanes = 16, kHalf = 32;
  const std::vector<float> z = draw(TokenLogits(kExperts, {}), kExperts, 3, 3);
  Random random(3);
  std::array<Xoshiro, kLanes> lanes{};
  for (std::size_t word = 0; word < 4; ++word)
    for (Xoshiro& lane : lanes)
      lane.state[word] = static_cast<std::uint32_t>(random.bits() >> 32U) | (word == 0 ? 1U : 0U);
  for (std::size_t t = 0; t < 3; ++t) {
    std::array<std::int32_t, kHalf> radius_bits{}, angle_bits{};
    for (std::size_t block = 0; block < kHalf; block += kLanes)
      for (auto* bits : {&radius_bits, &angle_bits})
        for (std::size_t i = 0; i < kLanes; ++i)
          (*bits)[block + i] = static_cast<std::int32_t>(lanes[i].next());
    for (std::size_t i = 0; i < kHalf; ++i) {
      const double u = std::abs(static_cast<double>(radius_bits[i])) * 0x1p-31 + 0x1p-32;
      const double radius = std::sqrt(-2 * std::min(std::log(u), 0.0));
      const double angle = angle_bits[i] * (std::numbers::pi * 0x1p-32);
      const double mirror = radius_bits[i] < 0 ? -1 : 1;
      CHECK(z[t * kExperts + i] == Approx(mirror * radius * std::cos(angle)).margin(1e-5));
      if (i + kHalf < kExperts) {
        CHECK(z[t * kExperts + kHalf + i] == Approx(radius * std::sin(angle)).margin(1e-5));
      }
    }
  }
}

TEST_CASE("Experts of a cluster are correlated by rho, the last cluster may be smaller") {
  const double rho = 0.4;
  const std::int64_t num_tokens = 60000;
  const std::vector<float> z =
      draw(TokenLogits(10, {.rho = rho, .cluster_size = 4}), 10, num_tokens, 4);
  // The variance of the product of two unit normals of correlation r is 1 + r^2.
  const double error = std::sqrt((1 + rho * rho) / static_cast<double>(num_tokens));
  for (std::size_t a = 0; a < 10; ++a) {
    CHECK(mean_product(z, 10, a, a) == Approx(1).margin(4 * std::sqrt(2.0) * error));
    for (std::size_t b = 0; b < a; ++b) {
      const double expected = a / 4 == b / 4 ? rho : 0;
      INFO(a << " " << b);
      CHECK(std::abs(mean_product(z, 10, a, b) - expected) < 4.5 * error);
    }
  }
}

TEST_CASE("Offsets are added; the same stream gives the same logits at any address") {
  for (const std::int64_t num_experts : {1, 3, 31, 64}) {
    for (const double rho : {0.0, 0.5}) {
      const CorrelationSpec correlation{.rho = rho, .cluster_size = 5};
      const std::vector<float> plain =
          draw(TokenLogits(num_experts, correlation), num_experts, 7, 5);
      std::vector<float> offsets(static_cast<std::size_t>(num_experts));
      std::iota(offsets.begin(), offsets.end(), -2.0F);
      const TokenLogits shifted(num_experts, correlation, offsets);
      CHECK(shifted.offsets() == offsets);
      const std::vector<float> moved = draw(shifted, num_experts, 7, 5);
      for (std::size_t i = 0; i < plain.size(); ++i) {
        CHECK(moved[i] == Approx(plain[i] + offsets[i % offsets.size()]).margin(1e-5));
      }
      std::vector<float> elsewhere(plain.size() + 1);
      Random random(5);
      TokenLogits(num_experts, correlation).draw(random, 7, elsewhere.data() + 1);
      CHECK(std::equal(plain.begin(), plain.end(), elsewhere.begin() + 1));
      CHECK(draw(TokenLogits(num_experts, correlation), num_experts, 7, 6) != plain);
    }
  }
}

TEST_CASE("Calibrated offsets give the wanted loads, on other tokens too") {
  struct Case {
    GateSpec gate;
    CorrelationSpec correlation;
    double exponent;
  };
  const CorrelationSpec clusters{.rho = 0.3, .cluster_size = 8};
  const std::int64_t num_tokens = 2048;
  for (const Case& c : {Case{v3_gate(4), {}, 0},
                        Case{v3_gate(4), clusters, 0.5},
                        Case{small_gate(), {}, 0.5},
                        Case{small_gate(), clusters, 0.3}}) {
    const Gate gate(c.gate);
    const auto experts = static_cast<std::size_t>(c.gate.num_experts);
    const std::vector<double> wanted = zipf_loads(experts, c.exponent);
    const Calibration found = calibrate_offsets(gate, wanted, c.correlation, num_tokens, 6);
    const double mean_count =
        static_cast<double>(num_tokens * c.gate.top_k) / static_cast<double>(experts);
    INFO(experts << " experts, exponent " << c.exponent << ": " << found.residual * mean_count);
    CHECK(found.residual * mean_count <= 3.01);
    // What it says of its own sample is so.
    const std::vector<double> again =
        realised_loads(gate, c.correlation, found.offsets, num_tokens, 6);
    double residual = 0;
    for (std::size_t e = 0; e < experts; ++e) {
      // The offset is added before or after the normal number is rounded: a near tie may flip.
      CHECK(std::abs(again[e] - found.realised[e]) * mean_count <= 1.01);
      residual = std::max(residual, std::abs(found.realised[e] - wanted[e]));
    }
    CHECK(found.residual == residual);
    // Another sample misses by the noise of two samples: binomial counts.
    const std::vector<double> other =
        realised_loads(gate, c.correlation, found.offsets, num_tokens, 7);
    for (std::size_t e = 0; e < experts; ++e) {
      const double noise = std::sqrt(2 * wanted[e] * mean_count) + 3;
      CHECK(std::abs(other[e] - wanted[e]) * mean_count < 4.5 * noise);
    }
  }
}

TEST_CASE("Loads of zero and loads of every token are reached") {
  const Gate gate(small_gate());
  std::vector<double> half(64, 0.0), all(64, 0.0);
  for (std::size_t e = 0; e < 64; e += 2) half[e] = 2;
  for (std::size_t e = 0; e < 6; ++e) all[e * 9] = 64 / 6.0;
  const Calibration of_half = calibrate_offsets(gate, half, {}, 1024, 8);
  CHECK(of_half.residual * 96 <= 3.01);
  CHECK(calibrate_offsets(gate, all, {}, 1024, 8).residual * 96 <= 3.01);
  // The mean chosen expert has no offset, the others are far below it.
  CHECK(std::abs(std::inner_product(half.begin(), half.end(), of_half.offsets.begin(), 0.0)) <
        1e-3);
  CHECK(of_half.offsets[1] < -2);
}

TEST_CASE("What a group limit cannot give is a residual") {
  // Expert 0 asks for half of the tokens. Its group of 32 would be the only one kept for them and
  // give 8 experts each time, but the rest of the group asks for nothing.
  std::vector<double> wanted(256, (256 - 16.0) / 224);
  std::fill(wanted.begin(), wanted.begin() + 32, 0.0);
  wanted[0] = 16;
  const Gate gate(v3_gate(1));
  const Calibration found = calibrate_offsets(gate, wanted, {}, 512, 9);
  CHECK(found.residual > 1);
  const double sum = std::accumulate(found.realised.begin(), found.realised.end(), 0.0);
  CHECK(sum == Approx(256));
  for (const float offset : found.offsets) CHECK(std::isfinite(offset));
}
