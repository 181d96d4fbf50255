#include "calibrate/fit/residual_fit.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "model/errors.hpp"

namespace moesim {

struct ResidualFit::Equations {
  Eigen::MatrixXd gram;     // [num_centres, num_centres], sum of basis times basis
  Eigen::VectorXd basis;    // [num_centres], sum of basis values
  Eigen::MatrixXd samples;  // [num_centres, samples of the fold]
  std::vector<std::size_t> which;
};

namespace {

constexpr double kFinest = 0.5;            // octaves between nodes
constexpr std::size_t kMostCentres = 600;  // an evaluation takes 2 ns each

}  // namespace

ResidualFit::~ResidualFit() = default;

ResidualFit::ResidualFit(std::vector<double> log2_shapes,
                         std::size_t num_axes,
                         std::vector<std::size_t> folds,
                         double smoothing)
    : shapes_(std::move(log2_shapes)),
      num_axes_(num_axes),
      folds_(std::move(folds)),
      smoothing_(smoothing) {
  const std::size_t n = folds_.size();
  ENSURE(shapes_.size() == n * num_axes_ && n > 0);
  std::vector<double> spacing(num_axes_, kFinest);
  while (place_centres(spacing) > kMostCentres) {
    // Coarsen the axis with the most levels.
    std::size_t finest = 0, most = 0;
    for (std::size_t a = 0; a < num_axes_; ++a) {
      std::set<std::int64_t> levels;
      for (std::size_t i = 0; i < n; ++i) levels.insert(node_of(i, a, spacing));
      if (levels.size() > most) {
        most = levels.size();
        finest = a;
      }
    }
    spacing[finest] *= 2;
  }
  const std::size_t num_centres = centres_.size() / num_axes_;
  const std::size_t num_folds = *std::max_element(folds_.begin(), folds_.end()) + 1;
  equations_.resize(num_folds);
  for (std::size_t i = 0; i < n; ++i) equations_[folds_[i]].which.push_back(i);
  for (Equations& e : equations_) {
    e.samples.resize(static_cast<Eigen::Index>(num_centres),
                     static_cast<Eigen::Index>(e.which.size()));
    for (std::size_t j = 0; j < e.which.size(); ++j)
      for (std::size_t c = 0; c < num_centres; ++c) {
        double squared = 0;
        for (std::size_t a = 0; a < num_axes_; ++a) {
          const double d = shapes_[e.which[j] * num_axes_ + a] - centres_[c * num_axes_ + a];
          squared += d * d;
        }
        e.samples(static_cast<Eigen::Index>(c), static_cast<Eigen::Index>(j)) = -std::sqrt(squared);
      }
    e.gram.setZero(static_cast<Eigen::Index>(num_centres), static_cast<Eigen::Index>(num_centres));
    e.gram.selfadjointView<Eigen::Lower>().rankUpdate(e.samples);
    e.basis = e.samples.rowwise().sum();
  }
}

std::int64_t ResidualFit::node_of(std::size_t sample,
                                  std::size_t axis,
                                  const std::vector<double>& spacing) const {
  return std::llround(shapes_[sample * num_axes_ + axis] / spacing[axis]);
}

std::size_t ResidualFit::place_centres(const std::vector<double>& spacing) {
  std::map<std::vector<std::int64_t>, std::size_t> nodes;
  centres_.clear();
  centre_of_.assign(folds_.size(), 0);
  for (std::size_t i = 0; i < folds_.size(); ++i) {
    std::vector<std::int64_t> node(num_axes_);
    for (std::size_t a = 0; a < num_axes_; ++a) node[a] = node_of(i, a, spacing);
    const auto [it, is_new] = nodes.emplace(node, nodes.size());
    if (is_new)
      for (std::size_t a = 0; a < num_axes_; ++a)
        centres_.push_back(static_cast<double>(node[a]) * spacing[a]);
    centre_of_[i] = it->second;
  }
  return nodes.size();
}

Residual ResidualFit::without(const std::vector<double>& errors, std::size_t left_out) const {
  const std::size_t num_centres = centres_.size() / num_axes_;
  std::vector<bool> occupied(num_centres, false);
  std::size_t num_samples = 0;
  for (std::size_t i = 0; i < folds_.size(); ++i)
    if (folds_[i] != left_out) {
      occupied[centre_of_[i]] = true;
      ++num_samples;
    }
  std::vector<Eigen::Index> used;
  for (std::size_t c = 0; c < num_centres; ++c)
    if (occupied[c]) used.push_back(static_cast<Eigen::Index>(c));
  const auto n = static_cast<Eigen::Index>(used.size());
  Residual residual;
  residual.num_axes = num_axes_;
  if (n == 0) return residual;

  const auto all = static_cast<Eigen::Index>(num_centres);
  Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(all, all);
  Eigen::VectorXd basis = Eigen::VectorXd::Zero(all), right = Eigen::VectorXd::Zero(all);
  double sum = 0;
  for (std::size_t f = 0; f < equations_.size(); ++f) {
    if (f == left_out) continue;
    const Equations& e = equations_[f];
    gram += e.gram;
    basis += e.basis;
    Eigen::VectorXd values(static_cast<Eigen::Index>(e.which.size()));
    for (std::size_t j = 0; j < e.which.size(); ++j)
      values[static_cast<Eigen::Index>(j)] = errors[e.which[j]];
    right += e.samples * values;
    sum += values.sum();
  }
  // Unknowns: weights, constant, multiplier of the side condition.
  Eigen::MatrixXd A = Eigen::MatrixXd::Zero(n + 2, n + 2);
  Eigen::VectorXd b = Eigen::VectorXd::Zero(n + 2);
  for (Eigen::Index i = 0; i < n; ++i) {
    const auto ci = static_cast<std::size_t>(used[static_cast<std::size_t>(i)]);
    for (Eigen::Index j = 0; j <= i; ++j) {
      const auto cj = static_cast<std::size_t>(used[static_cast<std::size_t>(j)]);
      double squared = 0;
      for (std::size_t a = 0; a < num_axes_; ++a) {
        const double d = centres_[ci * num_axes_ + a] - centres_[cj * num_axes_ + a];
        squared += d * d;
      }
      const auto row = static_cast<Eigen::Index>(std::max(ci, cj)),
                 column = static_cast<Eigen::Index>(std::min(ci, cj));
      A(i, j) = A(j, i) = gram(row, column) - smoothing_ * std::sqrt(squared);
    }
    A(i, n) = A(n, i) = basis[static_cast<Eigen::Index>(ci)];
    A(i, n + 1) = A(n + 1, i) = 1;
    b[i] = right[static_cast<Eigen::Index>(ci)];
  }
  A(n, n) = static_cast<double>(num_samples);
  b[n] = sum;
  const Eigen::VectorXd x = A.partialPivLu().solve(b);
  for (Eigen::Index i = 0; i < n; ++i) {
    residual.weights.push_back(x[i]);
    for (std::size_t a = 0; a < num_axes_; ++a)
      residual.centres.push_back(
          centres_[static_cast<std::size_t>(used[static_cast<std::size_t>(i)]) * num_axes_ + a]);
  }
  residual.constant = x[n];
  return residual;
}

}  // namespace moesim
