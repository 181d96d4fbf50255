// What a physical model leaves over, as a smooth function of the shape: the logarithm of measured
// over predicted, interpolated with linear radial basis functions (Duchon's polyharmonic splines;
// the kernel is minus the distance) over the base-2 logarithms of the shape's integers.
//
// Three rules keep it from taking over where nothing was measured: it is clipped to +-0.7, it fades
// as exp(-d) with the distance d, in octaves, from what was measured, and its centres are nodes of
// a half-octave grid, not the points themselves.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace moesim {

inline constexpr double kResidualClip = 0.7;    // in log: a factor of 2
inline constexpr double kCoveredOctaves = 1.0;  // around each centre

struct Residual {
  std::size_t num_axes = 0;
  std::vector<double> centres;  // [num_centres, num_axes], log2
  std::vector<double> weights;  // [num_centres], sum 0
  double constant = 0;

  bool empty() const { return weights.empty(); }
  std::size_t num_centres() const { return weights.size(); }

  struct Value {
    double log_factor = 0;  // add to the logarithm of the predicted time
    double distance = 0;    // octaves beyond what is covered; 0 inside
  };
  Value at(std::span<const double> log2_shape) const;  // no residual: {0, 0}
};

}  // namespace moesim
