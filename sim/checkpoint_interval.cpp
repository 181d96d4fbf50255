#include "sim/checkpoint_interval.hpp"

#include <cmath>

namespace moesim {

Seconds young_interval(Seconds pause, Seconds mtbf) { return std::sqrt(2 * (pause / mtbf)) * mtbf; }

Seconds daly_interval(Seconds pause, Seconds mtbf) {
  const double half = pause / mtbf / 2;
  if (half >= 1) return mtbf;
  return young_interval(pause, mtbf) * (1 + std::sqrt(half) / 3 + half / 9) - pause;
}

Seconds best_interval(Seconds pause, Seconds mtbf) {
  const double d = pause / mtbf;
  // u + exp(-(u + d)) - 1 grows with u, is not positive at 0 and positive at 1.
  double low = 0, high = 1;
  for (int i = 0; i < 100; ++i) {
    const double u = (low + high) / 2;
    (u + std::expm1(-(u + d)) > 0 ? high : low) = u;
  }
  return low * mtbf;
}

}  // namespace moesim
