// Robust least squares for models with a handful of positive coefficients: Levenberg-Marquardt
// (Marquardt 1963) in the logarithms of the coefficients, with Huber's weights, so that a few bad
// measurements pull less than many good ones.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace moesim {

struct Parameter {
  std::string name;
  double start = 1, low = 0, high = 0;  // positive; low <= start <= high
};

// Errors of all samples for given coefficients; same length every time, finite.
using ErrorFunction = std::function<std::vector<double>(const std::vector<double>&)>;

struct LeastSquaresOptions {
  int max_iterations = 60;
  std::vector<double> start;  // empty: the parameters' own
};

// The coefficients of the least robust sum of squares reached from the start.
std::vector<double> least_squares(const std::vector<Parameter>& parameters,
                                  const ErrorFunction& errors,
                                  const LeastSquaresOptions& options = {});

// The same from several starts, drawn between the bounds from a fixed seed beside the parameters'
// own; the best end wins.
std::vector<double> least_squares_from_many(const std::vector<Parameter>& parameters,
                                            const ErrorFunction& errors,
                                            int num_starts);

// Sum of Huber's loss over the errors, by which ends are compared.
double robust_loss(const std::vector<double>& errors, double scale);

}  // namespace moesim
