// Token counts drawn from a LengthSpec: at least 1, rounded to the nearest whole number.
#pragma once

#include <cstdint>
#include <vector>

#include "model/random.hpp"
#include "model/serving/request_spec.hpp"

namespace moesim {

class LengthSampler {
 public:
  explicit LengthSampler(const LengthSpec& spec);
  std::int32_t draw(Random& random) const;
  // The length whose quantile is that of the standard normal deviate `z`: for correlated lengths.
  // Not for gamma.
  std::int32_t at_normal(double z) const;

 private:
  std::int32_t at_uniform(double u) const;  // at the quantile `u`, in (0, 1)
  std::int32_t clamped(double tokens) const;

  LengthKind kind_;
  double lowest_, highest_;
  double mean_;            // exponential; of the logarithm: lognormal
  double sigma_ = 0;       // lognormal
  double shape_ = 0;       // gamma
  double log_miss_ = 0;    // geometric: log of the chance that it goes on
  bool is_histogram_ = false;
  std::vector<double> points_, up_to_;  // empirical: summed weights, ending in 1
};

// Gamma-distributed with this shape and mean 1 (Marsaglia and Tsang 2000; below shape 1 by their
// boost with a uniform power).
double draw_gamma(Random& random, double shape);

}  // namespace moesim
