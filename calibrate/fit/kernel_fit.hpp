// Points of one operation to coefficients, a residual, and the error on points left out. The form
// is fitted first, by itself, and the residual to what it leaves over; held-out errors repeat both.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "calibrate/fit/held_out.hpp"
#include "calibrate/fit/kernel_form.hpp"
#include "calibrate/point.hpp"
#include "model/residual.hpp"

namespace moesim {

struct FitOptions {
  TileRule rule = TileRule::fastest;
  double smoothing = 0.03;  // of the residual, octaves
  bool residual = true;
  int num_threads = 1;
};

struct LeftOut {
  std::string what;
  ErrorSummary error;
};

struct WorstPoint {
  Shape shape;
  double error = 0;  // predicted over measured, less 1, when it was left out
};

// The point furthest from the fit, which saw it.
struct FurthestPoint {
  std::string place;
  Shape shape;
  Seconds measured, predicted;
};

struct KernelFit {
  const Case* of = nullptr;
  std::vector<double> values;  // of the form's parameters
  Residual residual;
  std::size_t num_points = 0, num_shapes = 0;
  ErrorSummary in_sample;
  std::vector<LeftOut> left_out;
  std::optional<ErrorSummary> repeat_noise;  // absent: no shape was repeated
  std::vector<WorstPoint> worst;             // of the first grouping, worst first
  FurthestPoint furthest;
  // Same shape but for m, where more rows took more than 5 % less time: reported, not repaired.
  std::size_t num_not_monotone = 0;
};

// Of a kernel whose shapes are no more than its coefficients: an in-sample error of 0 would be an
// artefact. Nothing is behind this number, and the profile says "stated".
inline constexpr double kStatedError = 0.1;

// What a profile says of the fit's error. Inside: the first way of leaving out, or the error in
// sample where too few shapes were measured to leave any out; outside: the worst of all ways.
ModelError model_error(const KernelFit& fit);

// Writes a fit and its errors into a profile. `source`: in words.
void store(const KernelFit& fit,
           const std::vector<const Point*>& points,
           const GpuSpec& gpu,
           TileRule rule,
           const std::string& source,
           Profile& profile);

// How much repeats of a shape differ: half the 10 to 90 % span of a point's repeats, and the
// deviation from each other of points of equal shape. Fractions.
std::optional<ErrorSummary> repeat_noise(const std::vector<const Point*>& points);

// A shape whose times differ by more than a quarter: the shortest and the longest, in the order
// they were measured in, and all points of the shape.
struct Disagreement {
  const Point *first = nullptr, *second = nullptr;
  std::vector<const Point*> points;
};
std::vector<Disagreement> disagreements(const std::vector<const Point*>& points);

// InputError when there are fewer shapes than parameters. All points are of one case.
KernelFit fit_kernel(const std::vector<const Point*>& points,
                     const GpuSpec& gpu,
                     const FitOptions& options);

}  // namespace moesim
