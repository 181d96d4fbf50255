#include "model/token_logits.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numbers>
#include <utility>

#include "model/errors.hpp"

namespace moesim {
namespace {

using Eigen::ArrayXf;
using Eigen::Index;

constexpr std::size_t kLanes = 16;  // floats of the widest vector registers

// xoshiro128++ (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021), one
// generator a lane, so that the compiler can use vector registers: one 64-bit engine takes half the
// time of a token. The seeds are the caller's random numbers.
class LaneBits {
 public:
  explicit LaneBits(Random& random) {
    for (Lanes& words : state_)
      for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(random.bits() >> 32U);
    for (std::uint32_t& word : state_[0]) word |= 1U;  // a lane of zeros would stay so
  }

  void next(std::int32_t* out) {
    auto& [a, b, c, d] = state_;
    for (std::size_t i = 0; i < kLanes; ++i) {
      out[i] = static_cast<std::int32_t>(std::rotl(a[i] + d[i], 7) + a[i]);
      const std::uint32_t shifted = b[i] << 9U;
      c[i] ^= a[i];
      d[i] ^= b[i];
      b[i] ^= c[i];
      a[i] ^= d[i];
      c[i] ^= shifted;
      d[i] = std::rotl(d[i], 11);
    }
  }

 private:
  using Lanes = std::array<std::uint32_t, kLanes>;
  std::array<Lanes, 4> state_;
};

// Standard normal numbers, a few hundred at a time, by Box-Muller on Eigen arrays. Lengths are
// whole vector registers and the arrays are Eigen's own, aligned ones: the scalar functions that
// Eigen uses for what is left over round differently, and results would depend on an address.
class NormalBlock {
 public:
  NormalBlock(Random& random, Index size)
      : bits_(random),
        half_(((size + 1) / 2 + kLength - 1) / kLength * kLength),
        radius_bits_(half_),
        angle_bits_(half_),
        radius_(half_),
        angle_(half_),
        square_(half_),
        mirror_(half_),
        normals_(2 * half_) {}

  const float* draw() {
    for (Index i = 0; i < half_; i += kLength) {
      bits_.next(radius_bits_.data() + i);
      bits_.next(angle_bits_.data() + i);
    }
    // The absolute value keeps 31 bits near 0, where the tail comes from; half a step up, the
    // logarithm is finite and the radius at most sqrt(64 ln 2) = 6.7. Rounding may lift the
    // logarithm of a number next to 1 above 0.
    radius_ = (radius_bits_.cast<float>().abs() * 0x1p-31F + 0x1p-32F).log();
    radius_ = (-2 * radius_).max(0.0F).sqrt();
    // A right half turn, mirrored by the sign of the radius bits. On [-pi/2, pi/2] six terms of the
    // Taylor series are right to 5e-7, at a third of the cost of Eigen's sine and cosine.
    angle_ = angle_bits_.cast<float>() * (std::numbers::pi_v<float> * 0x1p-32F);
    const ArrayXf& x = square_ = angle_.square();
    mirror_ = 1 + 2 * radius_bits_.shiftRight<31>().cast<float>();
    normals_.head(half_) =
        mirror_ * radius_ *
        (1 - x * (1 / 2.0F) *
                 (1 - x * (1 / 12.0F) *
                          (1 - x * (1 / 30.0F) * (1 - x * (1 / 56.0F) * (1 - x * (1 / 90.0F))))));
    normals_.tail(half_) =
        radius_ * angle_ *
        (1 - x * (1 / 6.0F) *
                 (1 - x * (1 / 20.0F) *
                          (1 - x * (1 / 42.0F) * (1 - x * (1 / 72.0F) * (1 - x * (1 / 110.0F))))));
    return normals_.data();
  }

 private:
  static constexpr Index kLength = kLanes;

  LaneBits bits_;
  Index half_;
  Eigen::ArrayXi radius_bits_, angle_bits_;
  ArrayXf radius_, angle_, square_, mirror_, normals_;
};

}  // namespace

TokenLogits::TokenLogits(std::int64_t num_experts,
                         const CorrelationSpec& correlation,
                         std::vector<float> offsets)
    : num_experts_(num_experts), correlation_(correlation), offsets_(std::move(offsets)) {
  ENSURE(num_experts >= 1);
  ENSURE(correlation.rho >= 0 && correlation.rho < 1 && correlation.cluster_size >= 1);
  if (offsets_.empty()) offsets_.assign(static_cast<std::size_t>(num_experts), 0.0F);
  ENSURE(std::ssize(offsets_) == num_experts);
}

void TokenLogits::draw(Random& random, std::int64_t num_tokens, float* out) const {
  using Row = Eigen::Map<ArrayXf>;
  using ConstRow = Eigen::Map<const ArrayXf>;
  const Index size = correlation_.cluster_size;
  const Index num_factors = correlation_.rho > 0 ? (num_experts_ + size - 1) / size : 0;
  const auto shared = static_cast<float>(std::sqrt(correlation_.rho));
  const auto own = static_cast<float>(std::sqrt(1 - correlation_.rho));
  const ConstRow offsets(offsets_.data(), num_experts_);
  NormalBlock block(random, num_experts_ + num_factors);
  for (std::int64_t t = 0; t < num_tokens; ++t) {
    const float* const normals = block.draw();
    Row row(out + t * num_experts_, num_experts_);
    row = offsets + own * ConstRow(normals + num_factors, num_experts_);
    for (Index factor = 0; factor < num_factors; ++factor) {
      const Index first = factor * size;
      row.segment(first, std::min(size, num_experts_ - first)) += shared * normals[factor];
    }
  }
}

namespace {

constexpr std::int64_t kTileTokens = 512;  // logits of a tile stay in the cache

// How often each expert is chosen when `offsets` are added to the logits of the sample.
std::vector<std::int64_t> expert_counts(const Gate& gate,
                                        const std::vector<float>& logits,
                                        const std::vector<float>& offsets) {
  const std::int64_t num_experts = std::ssize(offsets);
  const std::int64_t num_tokens = std::ssize(logits) / num_experts;
  std::vector<std::int64_t> counts(offsets.size(), 0);
  std::vector<float> tile(static_cast<std::size_t>(kTileTokens * num_experts));
  RoutedTokens routed;
  for (std::int64_t first = 0; first < num_tokens; first += kTileTokens) {
    const std::int64_t tokens = std::min(kTileTokens, num_tokens - first);
    const float* in = logits.data() + first * num_experts;
    float* out = tile.data();
    for (std::int64_t t = 0; t < tokens; ++t)
      for (const float offset : offsets) *out++ = *in++ + offset;
    gate.route(tile.data(), tokens, {}, routed);
    for (const std::int32_t e : routed.experts) ++counts[static_cast<std::size_t>(e)];
  }
  return counts;
}

// Adds the same to all offsets so that the mean chosen expert has none: popular experts keep logits
// where a sigmoid is not flat.
void centre(std::vector<float>& offsets, const std::vector<double>& relative_load) {
  double sum = 0, weight = 0;
  for (std::size_t e = 0; e < offsets.size(); ++e) {
    sum += relative_load[e] * static_cast<double>(offsets[e]);
    weight += relative_load[e];
  }
  for (float& offset : offsets) offset -= static_cast<float>(sum / weight);
}

}  // namespace

Calibration calibrate_offsets(const Gate& gate,
                              const std::vector<double>& relative_load,
                              const CorrelationSpec& correlation,
                              std::int64_t num_tokens,
                              std::uint64_t seed) {
  constexpr int kMaxPasses = 30;
  constexpr double kEnough = 3;  // tokens an expert may be off: far below the sample's own noise
  // A step of 0.4 is about Newton's for normal logits (the normal quantile over the logarithm of
  // the odds). Experts of a group answer together, so an expert whose error changes sign halves its
  // own.
  constexpr double kFirstStep = 0.4, kLeastStep = 0.02, kGrowth = 1.1;

  const std::int64_t num_experts = gate.spec().num_experts;
  ENSURE(std::ssize(relative_load) == num_experts && num_tokens >= 1);
  const TokenLogits sampler(num_experts, correlation);
  Random random(seed);
  std::vector<float> logits(static_cast<std::size_t>(num_tokens * num_experts));
  sampler.draw(random, num_tokens, logits.data());

  const auto tokens = static_cast<double>(num_tokens);
  const double mean_count =
      tokens * static_cast<double>(gate.spec().top_k) / static_cast<double>(num_experts);
  // Half a token more on both sides: an expert that nobody chose has odds too.
  const auto log_odds = [tokens](double count) {
    return std::log((count + 0.5) / (tokens - count + 0.5));
  };
  Calibration best;
  std::vector<float> offsets(relative_load.size(), 0.0F);
  std::vector<double> step(relative_load.size(), kFirstStep), last_error(relative_load.size(), 0);
  for (int pass = 0; pass < kMaxPasses; ++pass) {
    const std::vector<std::int64_t> counts = expert_counts(gate, logits, offsets);
    Calibration now{.offsets = offsets, .realised = {}, .residual = 0};
    for (std::size_t e = 0; e < counts.size(); ++e) {
      now.realised.push_back(static_cast<double>(counts[e]) / mean_count);
      now.residual = std::max(now.residual, std::abs(now.realised[e] - relative_load[e]));
    }
    if (pass == 0 || now.residual < best.residual) best = std::move(now);
    if (best.residual * mean_count <= kEnough) break;
    for (std::size_t e = 0; e < counts.size(); ++e) {
      const double error =
          log_odds(relative_load[e] * mean_count) - log_odds(static_cast<double>(counts[e]));
      step[e] = error * last_error[e] < 0 ? std::max(step[e] / 2, kLeastStep)
                                          : std::min(step[e] * kGrowth, 1.0);
      offsets[e] += static_cast<float>(step[e] * error);
      last_error[e] = error;
    }
    centre(offsets, relative_load);
  }
  return best;
}

}  // namespace moesim
