#include "calibrate/fit/least_squares.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>

#include "model/errors.hpp"
#include "model/random.hpp"

namespace moesim {
namespace {

// Errors up to this many times their scale count in full: Huber's constant for 95 % efficiency
// under normal noise.
constexpr double kHuber = 1.345;
constexpr double kSmallestScale = 1e-4;  // an exact fit has no noise to scale by

// Normal noise has this much of its standard deviation as median absolute error.
constexpr double kMedianOfNormal = 0.6745;

double scale_of(const std::vector<double>& errors) {
  std::vector<double> absolute(errors.size());
  std::transform(
      errors.begin(), errors.end(), absolute.begin(), [](double e) { return std::abs(e); });
  const auto middle = absolute.begin() + static_cast<std::ptrdiff_t>(absolute.size() / 2);
  std::nth_element(absolute.begin(), middle, absolute.end());
  return std::max(kSmallestScale, *middle / kMedianOfNormal);
}

std::vector<double> bounded(const std::vector<Parameter>& parameters, const Eigen::VectorXd& logs) {
  std::vector<double> values(parameters.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = std::clamp(
        std::exp(logs[static_cast<Eigen::Index>(i)]), parameters[i].low, parameters[i].high);
  return values;
}

}  // namespace

double robust_loss(const std::vector<double>& errors, double scale) {
  double sum = 0;
  for (const double e : errors) {
    const double r = std::abs(e) / scale;
    sum += r <= kHuber ? r * r / 2 : kHuber * (r - kHuber / 2);
  }
  return sum;
}

std::vector<double> least_squares(const std::vector<Parameter>& parameters,
                                  const ErrorFunction& errors_of,
                                  const LeastSquaresOptions& options) {
  const auto n = static_cast<Eigen::Index>(parameters.size());
  Eigen::VectorXd x(n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const Parameter& p = parameters[static_cast<std::size_t>(i)];
    ENSURE(p.low > 0 && p.low <= p.start && p.start <= p.high);
    const double start =
        options.start.empty() ? p.start : options.start[static_cast<std::size_t>(i)];
    x[i] = std::log(std::clamp(start, p.low, p.high));
  }
  std::vector<double> errors = errors_of(bounded(parameters, x));
  const auto m = static_cast<Eigen::Index>(errors.size());
  double damping = 1e-2;
  constexpr double kStep = 1e-5, kConverged = 1e-7, kMostDamping = 1e8;
  for (int iteration = 0; iteration < options.max_iterations && damping < kMostDamping;
       ++iteration) {
    const double scale = scale_of(errors), loss = robust_loss(errors, scale);
    Eigen::MatrixXd J(m, n);
    for (Eigen::Index j = 0; j < n; ++j) {
      // Step inwards at an upper bound, where a step outwards would change nothing.
      const Parameter& p = parameters[static_cast<std::size_t>(j)];
      const double step = x[j] + kStep > std::log(p.high) ? -kStep : kStep;
      Eigen::VectorXd shifted = x;
      shifted[j] += step;
      const std::vector<double> there = errors_of(bounded(parameters, shifted));
      for (Eigen::Index i = 0; i < m; ++i)
        J(i, j) = (there[static_cast<std::size_t>(i)] - errors[static_cast<std::size_t>(i)]) / step;
    }
    Eigen::MatrixXd A = Eigen::MatrixXd::Zero(n, n);
    Eigen::VectorXd b = Eigen::VectorXd::Zero(n);
    for (Eigen::Index i = 0; i < m; ++i) {
      const double e = errors[static_cast<std::size_t>(i)];
      const double weight = std::min(1.0, kHuber * scale / std::max(std::abs(e), 1e-300));
      A.noalias() += weight * J.row(i).transpose() * J.row(i);
      b.noalias() -= weight * e * J.row(i).transpose();
    }
    // A coefficient that is pulled beyond its bound stays there: stepping with it in mind and
    // cutting the step afterwards would send the others astray.
    for (Eigen::Index j = 0; j < n; ++j) {
      const Parameter& p = parameters[static_cast<std::size_t>(j)];
      if ((x[j] >= std::log(p.high) && b[j] > 0) || (x[j] <= std::log(p.low) && b[j] < 0)) {
        A.row(j).setZero();
        A.col(j).setZero();
        b[j] = 0;
      }
    }
    bool improved = false;
    while (!improved && damping < kMostDamping) {
      Eigen::MatrixXd damped = A;
      for (Eigen::Index j = 0; j < n; ++j) damped(j, j) += damping * A(j, j) + 1e-12;
      const Eigen::VectorXd step = damped.ldlt().solve(b);
      Eigen::VectorXd next = x + step;
      for (Eigen::Index j = 0; j < n; ++j) {
        const Parameter& p = parameters[static_cast<std::size_t>(j)];
        next[j] = std::clamp(next[j], std::log(p.low), std::log(p.high));
      }
      const std::vector<double> there = errors_of(bounded(parameters, next));
      const double change = loss - robust_loss(there, scale);
      if (change > 0) {
        improved = true;
        x = next;
        errors = there;
        damping = std::max(1e-9, damping / 5);
        if (change < kConverged * loss) return bounded(parameters, x);
      } else {
        damping *= 4;
      }
    }
  }
  return bounded(parameters, x);
}

std::vector<double> least_squares_from_many(const std::vector<Parameter>& parameters,
                                            const ErrorFunction& errors_of,
                                            int num_starts) {
  std::vector<double> best;
  double best_loss = std::numeric_limits<double>::infinity(), scale = 0;
  constexpr std::uint64_t kSeed = 1;
  for (int start = 0; start < num_starts; ++start) {
    LeastSquaresOptions options;
    if (start > 0) {
      Random random(kSeed, start);
      for (const Parameter& p : parameters)
        options.start.push_back(p.low * std::pow(p.high / p.low, random.uniform()));
    }
    const std::vector<double> end = least_squares(parameters, errors_of, options);
    const std::vector<double> errors = errors_of(end);
    if (scale == 0) scale = scale_of(errors);  // one scale, so that losses compare
    const double loss = robust_loss(errors, scale);
    if (loss < best_loss) {
      best_loss = loss;
      best = end;
    }
  }
  ENSURE(!best.empty());  // no errors were finite
  return best;
}

}  // namespace moesim
