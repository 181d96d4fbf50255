#include "model/residual.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/errors.hpp"

namespace moesim {

Residual::Value Residual::at(std::span<const double> x) const {
  if (empty()) return {};
  ENSURE(x.size() == num_axes);
  double sum = constant, nearest = std::numeric_limits<double>::infinity();
  const double* centre = centres.data();
  for (const double weight : weights) {
    double squared = 0;
    for (std::size_t a = 0; a < num_axes; ++a) {
      const double d = x[a] - centre[a];
      squared += d * d;
    }
    centre += num_axes;
    nearest = std::min(nearest, squared);
    sum -= weight * std::sqrt(squared);
  }
  const double distance = std::max(0.0, std::sqrt(nearest) - kCoveredOctaves);
  return {std::clamp(sum, -kResidualClip, kResidualClip) * std::exp(-distance), distance};
}

}  // namespace moesim
