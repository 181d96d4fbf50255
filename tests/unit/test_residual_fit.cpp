// The residual's fit: exact at its nodes, honest about folds, bounded in size.
#include <cmath>
#include <numeric>
#include <set>

#include "calibrate/fit/residual_fit.hpp"
#include "model/random.hpp"
#include "tests/catch.hpp"

namespace moesim {
namespace {

double smooth(double x, double y) { return 0.2 * std::sin(x / 2) + 0.05 * (y - 3); }

// A grid of half octaves, so every sample is a node.
struct Grid {
  std::vector<double> shapes, errors;
  std::vector<std::size_t> folds;
};
Grid grid(std::size_t num_folds) {
  Grid g;
  for (double x = 0; x <= 6; x += 0.5)
    for (double y = 0; y <= 4; y += 0.5) {
      g.shapes.insert(g.shapes.end(), {x, y});
      g.errors.push_back(smooth(x, y));
      g.folds.push_back(g.folds.size() * 7 % num_folds);
    }
  return g;
}

double at(const Residual& r, double x, double y) {
  return r.at(std::vector<double>{x, y}).log_factor;
}

double sum(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }

}  // namespace

TEST_CASE("residual fit: reproduces a smooth function at the nodes as smoothing goes") {
  const Grid g = grid(1);
  double before = 1;
  for (const double smoothing : {1.0, 1e-2, 1e-4, 1e-6}) {
    const Residual r = ResidualFit(g.shapes, 2, g.folds, smoothing).of_all(g.errors);
    double worst = 0;
    for (std::size_t i = 0; i < g.errors.size(); ++i)
      worst = std::max(worst, std::abs(at(r, g.shapes[2 * i], g.shapes[2 * i + 1]) - g.errors[i]));
    CHECK(worst < before);
    before = worst;
  }
  CHECK(before < 1e-5);
  // Between nodes too, though it never saw them.
  const Residual r = ResidualFit(g.shapes, 2, g.folds, 1e-4).of_all(g.errors);
  CHECK(at(r, 2.25, 1.75) == Approx(smooth(2.25, 1.75)).margin(0.005));
}

TEST_CASE("residual fit: weights sum to 0 and a constant error is all constant") {
  const Grid g = grid(3);
  const ResidualFit fit(g.shapes, 2, g.folds, 0.03);
  CHECK(sum(fit.of_all(g.errors).weights) == Approx(0).margin(1e-9));
  CHECK(sum(fit.without(g.errors, 1).weights) == Approx(0).margin(1e-9));
  const Residual flat = fit.of_all(std::vector<double>(g.errors.size(), 0.125));
  CHECK(flat.constant == Approx(0.125));
  for (const double w : flat.weights) CHECK(w == Approx(0).margin(1e-9));
}

TEST_CASE("residual fit: without a fold it is the fit of the other samples alone") {
  // Samples off the nodes, several to a node, and nodes that only the fold left out occupies.
  Random random(3);
  std::vector<double> shapes, errors;
  std::vector<std::size_t> folds;
  for (int i = 0; i < 120; ++i) {
    const double x = 6 * random.uniform(), y = 4 * random.uniform();
    shapes.insert(shapes.end(), {x, y});
    errors.push_back(smooth(x, y) + 0.02 * random.normal());
    folds.push_back(x > 5 ? 2 : static_cast<std::size_t>(i) % 2);
  }
  const ResidualFit all(shapes, 2, folds, 0.03);
  for (std::size_t fold = 0; fold < 3; ++fold) {
    std::vector<double> other_shapes, other_errors;
    for (std::size_t i = 0; i < errors.size(); ++i) {
      if (folds[i] == fold) continue;
      other_shapes.insert(other_shapes.end(), {shapes[2 * i], shapes[2 * i + 1]});
      other_errors.push_back(errors[i]);
    }
    const Residual left = all.without(errors, fold);
    const Residual alone =
        ResidualFit(other_shapes, 2, std::vector<std::size_t>(other_errors.size(), 0), 0.03)
            .of_all(other_errors);
    REQUIRE(left.num_centres() == alone.num_centres());
    CHECK(left.num_centres() < all.of_all(errors).num_centres() + (fold == 2 ? 0 : 1));
    for (double x = -1; x < 8; x += 0.7)
      for (double y = -1; y < 6; y += 0.9)
        CHECK(at(left, x, y) == Approx(at(alone, x, y)).margin(1e-8));
  }
}

TEST_CASE("residual fit: what is left out has no say") {
  const Grid g = grid(4);
  const ResidualFit fit(g.shapes, 2, g.folds, 0.03);
  const Residual before = fit.without(g.errors, 1);
  std::vector<double> changed = g.errors;
  for (std::size_t i = 0; i < changed.size(); ++i)
    if (g.folds[i] == 1) changed[i] += 100;
  const Residual after = fit.without(changed, 1);
  CHECK(after.weights == before.weights);
  CHECK(after.constant == before.constant);
}

TEST_CASE("residual fit: many points on one node") {
  // All of one shape: the constant is their mean, nothing else can be known.
  const ResidualFit one(std::vector<double>(20, 3.0), 1, std::vector<std::size_t>(20, 0), 0.03);
  std::vector<double> errors(20, 0.1);
  errors[0] = 0.3;
  const Residual r = one.of_all(errors);
  CHECK(r.num_centres() == 1);
  CHECK(r.at(std::vector<double>{3.0}).log_factor == Approx(0.11));
  // Fifty on one node, one on each of two others: each node's mean comes back.
  std::vector<double> shapes(50, 0.0), values(50, 0.2);
  for (std::size_t i = 0; i < values.size(); i += 2) values[i] = 0.1;
  shapes.insert(shapes.end(), {4, 8});
  values.insert(values.end(), {-0.1, 0.4});
  const Residual three =
      ResidualFit(shapes, 1, std::vector<std::size_t>(52, 0), 1e-6).of_all(values);
  CHECK(three.num_centres() == 3);
  CHECK(three.at(std::vector<double>{0.0}).log_factor == Approx(0.15).margin(1e-4));
  CHECK(three.at(std::vector<double>{4.0}).log_factor == Approx(-0.1).margin(1e-4));
  CHECK(three.at(std::vector<double>{8.0}).log_factor == Approx(0.4).margin(1e-4));
}

TEST_CASE("residual fit: a fold that holds everything leaves nothing, and no number breaks") {
  const ResidualFit fit({1, 2, 3}, 1, {0, 0, 0}, 0.03);
  const Residual none = fit.without({0.1, 0.2, 0.3}, 0);
  CHECK(none.empty());
  CHECK(none.at(std::vector<double>{2.0}).log_factor == 0);
}

TEST_CASE("residual fit: the grid is coarsened until no more than 600 centres are left") {
  std::vector<double> shapes, errors;
  for (double x = 0; x < 40; x += 0.5)
    for (double y = 0; y < 12; y += 0.5) {
      shapes.insert(shapes.end(), {x, y});
      errors.push_back(0.01 * x);
    }
  const ResidualFit fit(shapes, 2, std::vector<std::size_t>(errors.size(), 0), 0.03);
  const Residual r = fit.of_all(errors);
  CHECK(r.num_centres() <= 600);
  CHECK(r.num_centres() > 300);  // coarsened no more than needed
  // The axis with the most levels gave way: the other kept its half octaves.
  std::set<double> ys;
  for (std::size_t i = 0; i < r.num_centres(); ++i) ys.insert(r.centres[2 * i + 1]);
  CHECK(ys.size() == 24);
  CHECK(at(r, 20, 6) == Approx(0.2).margin(0.01));
}

}  // namespace moesim
