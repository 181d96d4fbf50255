#include "calibrate/fit/kernel_fit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <set>

#include "calibrate/fit/residual_fit.hpp"
#include "model/errors.hpp"
#include "model/parallel_for.hpp"
#include "model/random.hpp"

namespace moesim {
namespace {

// Enough to pin seven coefficients; the residual sees every point.
constexpr std::size_t kMostBasePoints = 1500;
constexpr int kStarts = 6;
constexpr int kRefitIterations = 12;  // from the coefficients of the fit on all points

using Key = std::vector<std::int64_t>;

Key identity(const Point& p) {
  Key key = p.shape;
  key.push_back(p.sms);
  key.push_back(p.beside_communication ? 1 : 0);
  key.push_back(p.cold ? 1 : 0);
  key.insert(key.end(), p.counts.begin(), p.counts.end());
  return key;
}

std::map<Key, std::vector<const Point*>> by_shape(const std::vector<const Point*>& points) {
  std::map<Key, std::vector<const Point*>> shapes;
  for (const Point* p : points) shapes[identity(*p)].push_back(p);
  return shapes;
}

// Points as the fit sees them.
class Samples {
 public:
  Samples(const std::vector<const Point*>& points, const KernelForm& form)
      : points_(points), form_(form) {
    for (const Point* p : points_) {
      measured_.push_back(std::log(p->timing().median.in(s)));
      const std::vector<double> axes = form_.residual_axes(*p);
      num_axes_ = axes.size();
      axes_.insert(axes_.end(), axes.begin(), axes.end());
    }
  }
  std::size_t size() const { return points_.size(); }
  std::size_t num_axes() const { return num_axes_; }
  const std::vector<double>& axes() const { return axes_; }
  std::span<const double> axes_of(std::size_t i) const {
    return std::span(axes_).subspan(i * num_axes_, num_axes_);
  }
  const Point& point(std::size_t i) const { return *points_[i]; }

  // Logarithm of measured over predicted by the form alone.
  std::vector<double> errors(const std::vector<double>& values,
                             const std::vector<std::size_t>& which) const {
    std::vector<const Point*> chosen;
    chosen.reserve(which.size());
    for (const std::size_t i : which) chosen.push_back(points_[i]);
    std::vector<double> result = form_.seconds(values, chosen);
    for (std::size_t j = 0; j < which.size(); ++j)
      result[j] = measured_[which[j]] - std::log(result[j]);
    return result;
  }
  std::vector<std::size_t> all_but(const std::vector<std::size_t>& folds,
                                   std::size_t left_out) const {
    std::vector<std::size_t> which;
    for (std::size_t i = 0; i < size(); ++i)
      if (folds[i] != left_out) which.push_back(i);
    return which;
  }

 private:
  const std::vector<const Point*>& points_;
  const KernelForm& form_;
  std::vector<double> measured_;  // log seconds
  std::vector<double> axes_;      // [num_points, num_axes]
  std::size_t num_axes_ = 0;
};

// By chance, from a fixed seed: every so-and-so-many-th point of a grid may well be all of one
// level of an axis.
std::vector<std::size_t> thinned(std::vector<std::size_t> which) {
  if (which.size() <= kMostBasePoints) return which;
  constexpr std::uint64_t kSeed = 2;
  Random random(kSeed);
  for (std::size_t i = 0; i < kMostBasePoints; ++i)
    std::swap(which[i], which[i + random.bits() % (which.size() - i)]);
  which.resize(kMostBasePoints);
  std::sort(which.begin(), which.end());
  return which;
}

double relative(double log_measured_over_predicted) {
  return std::exp(-log_measured_over_predicted) - 1;
}

// Relative errors, predicted over measured less 1, of all samples, each predicted by a fit without
// its fold.
std::vector<double> held_out_errors(const Samples& samples,
                                    const KernelForm& form,
                                    const std::vector<double>& values,
                                    const std::vector<std::size_t>& folds,
                                    const FitOptions& options) {
  const std::size_t num_folds = *std::max_element(folds.begin(), folds.end()) + 1;
  const bool with_residual = options.residual && samples.num_axes() > 0;
  std::optional<ResidualFit> equations;
  if (with_residual)
    equations.emplace(samples.axes(), samples.num_axes(), folds, options.smoothing);
  std::vector<std::size_t> everything(samples.size());
  std::iota(everything.begin(), everything.end(), std::size_t{0});
  std::vector<double> errors(samples.size());
  parallel_for(num_folds, options.num_threads, [&](std::size_t fold) {
    const auto seen = thinned(samples.all_but(folds, fold));
    LeastSquaresOptions refit;
    refit.max_iterations = kRefitIterations;
    refit.start = values;
    const std::vector<double> here = least_squares(
        form.parameters(),
        [&](const std::vector<double>& v) { return samples.errors(v, seen); },
        refit);
    const std::vector<double> left = samples.errors(here, everything);
    const Residual residual = with_residual ? equations->without(left, fold) : Residual();
    for (std::size_t i = 0; i < samples.size(); ++i)
      if (folds[i] == fold)
        errors[i] = relative(left[i] - residual.at(samples.axes_of(i)).log_factor);
  });
  return errors;
}

ErrorSummary summary_of(const std::vector<double>& errors) {
  std::vector<double> absolute;
  for (const double e : errors) absolute.push_back(std::abs(e));
  return summarise(std::move(absolute));
}

std::size_t count_not_monotone(const std::vector<const Point*>& points) {
  constexpr double kVisible = 0.95;
  std::map<Key, std::vector<const Point*>> lines;  // all that is equal but the rows
  for (const Point* p : points) {
    if (p->of->form != Form::gemm || !p->counts.empty()) continue;
    Key key = identity(*p);
    key[p->of->axes.size() == 4 ? 1 : 0] = 0;
    lines[key].push_back(p);
  }
  std::size_t count = 0;
  for (auto& [key, line] : lines) {
    const std::size_t axis = line.front()->of->axes.size() == 4 ? 1 : 0;
    std::stable_sort(line.begin(), line.end(), [&](const Point* a, const Point* b) {
      return a->shape[axis] < b->shape[axis];
    });
    for (std::size_t i = 1; i < line.size(); ++i)
      if (line[i]->shape[axis] > line[i - 1]->shape[axis] &&
          line[i]->timing().median < kVisible * line[i - 1]->timing().median)
        ++count;
  }
  return count;
}

// What is written is what was judged: weights to five decimals.
double five_decimals(double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.5f", value);
  return std::strtod(text.data(), nullptr);
}
Residual shortened(Residual residual) {
  for (double& w : residual.weights) w = five_decimals(w);
  residual.constant = five_decimals(residual.constant);
  return residual;
}

}  // namespace

std::optional<ErrorSummary> repeat_noise(const std::vector<const Point*>& points) {
  std::vector<double> noise;
  for (const Point* p : points) {
    const Timing& t = p->timing();
    if (t.p10 && t.p90) noise.push_back((*t.p90 - *t.p10) / (2 * t.median));
  }
  for (const auto& [key, same] : by_shape(points))
    for (std::size_t i = 1; i < same.size(); ++i)
      noise.push_back(std::abs(same[i]->timing().median / same[i - 1]->timing().median - 1));
  if (noise.empty()) return std::nullopt;
  return summarise(std::move(noise));
}

std::vector<Disagreement> disagreements(const std::vector<const Point*>& points) {
  constexpr double kMost = 1.25;
  std::vector<Disagreement> all;
  for (const auto& [key, same] : by_shape(points)) {
    const auto [shortest, longest] =
        std::minmax_element(same.begin(), same.end(), [](const Point* a, const Point* b) {
          return a->timing().median < b->timing().median;
        });
    if ((*longest)->timing().median > kMost * (*shortest)->timing().median)
      all.push_back({*std::min(shortest, longest), *std::max(shortest, longest), same});
  }
  return all;
}

namespace {

// The form's coefficients and the residual to what they leave over; errors in sample.
void fit_all(const Samples& samples,
             const KernelForm& form,
             const FitOptions& options,
             KernelFit& fit) {
  std::vector<std::size_t> everything(samples.size());
  std::iota(everything.begin(), everything.end(), std::size_t{0});
  const std::vector<std::size_t> some = thinned(everything);
  fit.values = least_squares_from_many(
      form.parameters(),
      [&](const std::vector<double>& v) { return samples.errors(v, some); },
      kStarts);
  std::vector<double> left = samples.errors(fit.values, everything);
  if (options.residual && samples.num_axes() > 0) {
    const ResidualFit equations(samples.axes(),
                                samples.num_axes(),
                                std::vector<std::size_t>(samples.size(), 0),
                                options.smoothing);
    fit.residual = shortened(equations.of_all(left));
    for (std::size_t i = 0; i < samples.size(); ++i)
      left[i] -= fit.residual.at(samples.axes_of(i)).log_factor;
  }
  const auto far = std::max_element(
      left.begin(), left.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
  const Point& furthest = samples.point(static_cast<std::size_t>(far - left.begin()));
  const Seconds measured = furthest.timing().median;
  fit.furthest = {furthest.place, furthest.shape, measured, std::exp(-*far) * measured};
  std::transform(left.begin(), left.end(), left.begin(), relative);
  fit.in_sample = summary_of(left);
}

std::vector<WorstPoint> worst_of(const std::vector<const Point*>& points,
                                 const std::vector<double>& errors) {
  std::vector<WorstPoint> worst;
  for (std::size_t i = 0; i < errors.size(); ++i) worst.push_back({points[i]->shape, errors[i]});
  constexpr std::ptrdiff_t kListed = 3;
  const auto end = worst.begin() + std::min(kListed, static_cast<std::ptrdiff_t>(worst.size()));
  std::partial_sort(worst.begin(), end, worst.end(), [](const WorstPoint& a, const WorstPoint& b) {
    return std::abs(a.error) > std::abs(b.error);
  });
  worst.erase(end, worst.end());
  return worst;
}

void leave_out(const std::vector<const Point*>& points,
               const Samples& samples,
               const KernelForm& form,
               const FitOptions& options,
               KernelFit& fit) {
  for (const Grouping& grouping : form.groupings()) {
    std::vector<Key> keys;
    for (const Point* p : points) {
      Key key;
      for (const std::size_t axis : grouping.axes) key.push_back(p->shape[axis]);
      keys.push_back(std::move(key));
    }
    if (std::set<Key>(keys.begin(), keys.end()).size() < 3) continue;  // nothing left to fit on
    const std::vector<double> errors =
        held_out_errors(samples, form, fit.values, folds_by_key(keys), options);
    fit.left_out.push_back({grouping.what, summary_of(errors)});
    if (fit.worst.empty()) fit.worst = worst_of(points, errors);
  }
}

}  // namespace

KernelFit fit_kernel(const std::vector<const Point*>& points,
                     const GpuSpec& gpu,
                     const FitOptions& options) {
  ENSURE(!points.empty());
  KernelFit fit;
  fit.of = points.front()->of;
  const auto form = kernel_form(*fit.of, gpu, options.rule, points);
  fit.num_points = points.size();
  fit.num_shapes = by_shape(points).size();
  const std::size_t num_coefficients = form->parameters().size();
  if (fit.num_shapes < num_coefficients)
    throw InputError(points.front()->place,
                     std::string(fit.of->op) + " has " + std::to_string(fit.num_shapes) +
                         " shapes; its form has " + std::to_string(num_coefficients) +
                         " coefficients and needs at least as many");
  const Samples samples(points, *form);
  fit_all(samples, *form, options, fit);
  leave_out(points, samples, *form, options, fit);
  fit.repeat_noise = repeat_noise(points);
  fit.num_not_monotone = count_not_monotone(points);
  return fit;
}

namespace {

ErrorQuantiles quantiles(const std::string& what, const ErrorSummary& e) {
  return {what, e.median, e.p95, e.max};
}

// Where too few shapes were measured to leave any out. An in-sample error is too small by what the
// coefficients took out of it: of n samples and p coefficients, a linear fit leaves sqrt((n - p) /
// n) of the noise in sample and sqrt((n + p) / n) out of it.
ModelError error_without_held_out(const KernelFit& fit) {
  const auto n = static_cast<double>(fit.num_shapes), p = static_cast<double>(fit.values.size());
  const double noise = fit.repeat_noise ? fit.repeat_noise->p90 : 0;
  ModelError error;
  if (n > p) {
    error.basis = "in_sample";
    error.inside = std::max(noise, fit.in_sample.p90 * std::sqrt((n + p) / (n - p)));
  } else if (fit.of->form == Form::fixed && fit.repeat_noise) {
    error.basis = "in_sample";
    error.inside = noise;  // nothing varies but from repeat to repeat
  } else {
    error.basis = "stated";
    error.inside = std::max(noise, kStatedError);
  }
  error.outside = 2 * error.inside;
  return error;
}

}  // namespace

ModelError model_error(const KernelFit& fit) {
  ModelError error;
  if (fit.left_out.empty()) {
    error = error_without_held_out(fit);
  } else {
    error.basis = "held_out";
    error.inside = fit.left_out.front().error.p90;
    for (const LeftOut& left : fit.left_out)
      error.outside = std::max(error.outside, left.error.p90);
  }
  error.num_points = static_cast<std::int64_t>(fit.num_points);
  error.tests.push_back(quantiles("in sample", fit.in_sample));
  for (const LeftOut& left : fit.left_out)
    error.tests.push_back(quantiles(left.what + " left out", left.error));
  if (fit.repeat_noise) error.tests.push_back(quantiles("repeat noise", *fit.repeat_noise));
  return error;
}

void store(const KernelFit& fit,
           const std::vector<const Point*>& points,
           const GpuSpec& gpu,
           TileRule rule,
           const std::string& source,
           Profile& profile) {
  kernel_form(*fit.of, gpu, rule, points)->store(fit.values, fit.residual, points, profile);
  const std::size_t index = kernel_index(*fit.of);
  profile.source[index] = source;
  profile.error[index] = model_error(fit);
}

}  // namespace moesim
