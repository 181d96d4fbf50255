// Fits a residual (model/residual.hpp): smoothed linear radial basis functions whose centres are
// the occupied nodes of a half-octave grid (a coarser one where that gives too many). Minimises
//   |error - residual|^2 + smoothing * w^T K w,   K_ij = -|c_i - c_j|,   sum of w = 0,
// on which K is positive definite (Duchon 1977; Wahba, Spline Models, section 2.4).
#pragma once

#include <cstdint>
#include <vector>

#include "model/residual.hpp"

namespace moesim {

// The equations of all samples, kept apart by fold so that leaving one out
// costs a sum over the others' and not over their samples.
class ResidualFit {
 public:
  // log2_shapes: [num_samples, num_axes]; fold of each sample, from 0.
  ResidualFit(std::vector<double> log2_shapes,
              std::size_t num_axes,
              std::vector<std::size_t> folds,
              double smoothing);
  ~ResidualFit();
  ResidualFit(const ResidualFit&) = delete;
  ResidualFit& operator=(const ResidualFit&) = delete;

  // To `errors` of all samples, log of measured over predicted, without those of fold `left_out`.
  Residual without(const std::vector<double>& errors, std::size_t left_out) const;
  Residual of_all(const std::vector<double>& errors) const { return without(errors, kNone); }

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};
  struct Equations;
  // Centres at the occupied nodes of a grid with this spacing per axis; how many there are.
  std::size_t place_centres(const std::vector<double>& spacing);
  std::int64_t node_of(std::size_t sample,
                       std::size_t axis,
                       const std::vector<double>& spacing) const;
  std::vector<double> shapes_;
  std::size_t num_axes_;
  std::vector<std::size_t> folds_;
  double smoothing_;
  std::vector<double> centres_;         // [num_centres, num_axes]
  std::vector<std::size_t> centre_of_;  // [num_samples]
  std::vector<Equations> equations_;    // [num_folds]
};

}  // namespace moesim
