#include "sim/stragglers.hpp"

#include <cmath>
#include <numbers>

namespace moesim {
namespace {

double slowest_lognormal(double sigma, double n) {
  // Beyond 12 standard deviations there is less than 1e-30 of any of 1e6 nodes. Simpson's rule.
  constexpr int kIntervals = 4096;
  constexpr double kFrom = -12, kTo = 13;
  const double h = (kTo - kFrom) / kIntervals;
  double sum = 0;
  for (int i = 0; i <= kIntervals; ++i) {
    const double z = kFrom + i * h;
    const double density = std::exp(-z * z / 2) / std::sqrt(2 * std::numbers::pi);
    const double below = std::erfc(-z / std::numbers::sqrt2) / 2;
    const double weight = i == 0 || i == kIntervals ? 1 : i % 2 == 1 ? 4 : 2;
    sum += weight * std::exp(sigma * z) * n * density * std::pow(below, n - 1);
  }
  return sum * h / 3;
}

}  // namespace

double slowest_node(const Stragglers& stragglers, std::int64_t num_nodes) {
  const auto n = static_cast<double>(num_nodes);
  if (stragglers.sigma) return slowest_lognormal(*stragglers.sigma, n);
  const double any_slow = -std::expm1(n * std::log1p(-stragglers.share));
  return 1 + (stragglers.slowdown - 1) * any_slow;
}

}  // namespace moesim
