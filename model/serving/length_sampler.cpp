#include "model/serving/length_sampler.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace moesim {

double draw_gamma(Random& random, double shape) {
  double factor = 1 / shape;  // to mean 1
  if (shape < 1) {
    factor *= std::pow(random.uniform(), 1 / shape);
    shape += 1;
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double z = random.normal(), root = 1 + c * z;
    if (root <= 0) continue;
    const double v = root * root * root;
    if (std::log(random.uniform()) < z * z / 2 + d - d * v + d * std::log(v)) return factor * d * v;
  }
}

LengthSampler::LengthSampler(const LengthSpec& spec)
    : kind_(spec.kind),
      lowest_(static_cast<double>(spec.lowest)),
      highest_(static_cast<double>(spec.highest)),
      mean_(spec.mean),
      is_histogram_(spec.is_histogram),
      points_(spec.points) {
  ENSURE(spec.lowest >= 1 && spec.highest >= spec.lowest);
  if (kind_ == LengthKind::geometric) log_miss_ = std::log1p(-1 / mean_);
  if (kind_ == LengthKind::gamma) shape_ = 1 / (spec.cv * spec.cv);
  if (kind_ == LengthKind::lognormal) {
    const double variance = std::log1p(spec.cv * spec.cv);
    sigma_ = std::sqrt(variance);
    mean_ = std::log(spec.mean) - variance / 2;
  }
  if (kind_ == LengthKind::empirical) {
    double sum = 0;
    for (const double weight : spec.weights) up_to_.push_back(sum += weight);
    for (double& share : up_to_) share /= sum;
    up_to_.back() = 1;
  }
}

std::int32_t LengthSampler::clamped(double tokens) const {
  return static_cast<std::int32_t>(std::clamp(std::floor(tokens + 0.5), lowest_, highest_));
}

std::int32_t LengthSampler::at_uniform(double u) const {
  switch (kind_) {
    case LengthKind::uniform: return clamped(lowest_ + std::floor(u * (highest_ - lowest_ + 1)));
    case LengthKind::exponential: return clamped(-mean_ * std::log1p(-u));
    case LengthKind::geometric: return clamped(1 + std::floor(std::log1p(-u) / log_miss_));
    case LengthKind::empirical: {
      const auto at = static_cast<std::size_t>(
          std::upper_bound(up_to_.begin(), up_to_.end() - 1, u) - up_to_.begin());
      if (!is_histogram_) return clamped(points_[at]);
      const double below = at == 0 ? 0 : up_to_[at - 1];
      const double share = (u - below) / (up_to_[at] - below);
      return clamped(points_[at] + share * (points_[at + 1] - points_[at]));
    }
    case LengthKind::constant: return clamped(mean_);
    case LengthKind::lognormal:
    case LengthKind::gamma: break;
  }
  ENSURE(false);
  return 1;
}

std::int32_t LengthSampler::draw(Random& random) const {
  if (kind_ == LengthKind::constant) return clamped(mean_);
  if (kind_ == LengthKind::lognormal) return clamped(std::exp(mean_ + sigma_ * random.normal()));
  if (kind_ == LengthKind::gamma) return clamped(mean_ * draw_gamma(random, shape_));
  return at_uniform(random.uniform());
}

std::int32_t LengthSampler::at_normal(double z) const {
  if (kind_ == LengthKind::lognormal) return clamped(std::exp(mean_ + sigma_ * z));
  return at_uniform(std::min(std::erfc(-z * std::numbers::sqrt2 / 2) / 2, 1 - 0x1p-53));
}

}  // namespace moesim
