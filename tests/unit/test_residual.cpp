// What a residual adds: exact where it was put, clipped, fading with the distance, and equal to a
// plain sum of its basis functions in between.
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "model/random.hpp"
#include "model/residual.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

using Point = std::vector<double>;

// On one axis.
Residual on_a_line(const std::vector<double>& centres,
                   const std::vector<double>& weights,
                   double constant) {
  return {1, centres, weights, constant};
}

double distance(const Point& a, const Point& b) {
  double squared = 0;
  for (std::size_t i = 0; i < a.size(); ++i) squared += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(squared);
}

}  // namespace

TEST_CASE("residual: none, and a single node", "[residual]") {
  CHECK(Residual{}.empty());
  CHECK(Residual{}.at(Point{1, 2, 3}).log_factor == 0);
  CHECK(Residual{}.at(Point{1, 2, 3}).distance == 0);
  const Residual one{3, {7, 11, 12}, {0}, 0.125};
  CHECK_FALSE(one.empty());
  CHECK(one.num_centres() == 1);
  CHECK(one.at(Point{7, 11, 12}).log_factor == 0.125);
  CHECK(one.at(Point{7, 11.5, 12.5}).log_factor == 0.125);  // within an octave
  CHECK(one.at(Point{7, 11, 12}).distance == 0);
  CHECK_THROWS_AS(one.at(Point{7, 11}), std::logic_error);
}

TEST_CASE("residual: two nodes by hand", "[residual]") {
  // -w |x - 4| + w |x - 6| with w = 0.05: +0.1 at 4, 0 half way, -0.1 at 6, straight in between.
  const Residual r = on_a_line({4, 6}, {0.05, -0.05}, 0.03);
  CHECK(r.at(Point{4}).log_factor == Approx(0.03 + 0.1));
  CHECK(r.at(Point{4.5}).log_factor == Approx(0.03 + 0.05));
  CHECK(r.at(Point{5}).log_factor == Approx(0.03));
  CHECK(r.at(Point{6}).log_factor == Approx(0.03 - 0.1));
  // Weights that sum to 0 leave a constant outside.
  CHECK(r.at(Point{3.5}).log_factor == Approx(0.13));
}

TEST_CASE("residual: clipped to a factor of two", "[residual]") {
  CHECK(on_a_line({4}, {0}, 3).at(Point{4}).log_factor == kResidualClip);
  CHECK(on_a_line({4}, {0}, -3).at(Point{4}).log_factor == -kResidualClip);
  CHECK(on_a_line({4}, {0}, 0.69).at(Point{4}).log_factor == 0.69);
  // A file whose weights do not sum to 0 grows with the distance: clipped, then faded.
  const Residual grows = on_a_line({4}, {-10}, 0);
  CHECK(grows.at(Point{4.9}).log_factor == kResidualClip);
  CHECK(grows.at(Point{24}).log_factor == Approx(kResidualClip * std::exp(-19)));
}

TEST_CASE("residual: fades beyond an octave around what was measured", "[residual]") {
  const Residual r = on_a_line({4, 6}, {0, 0}, 0.5);
  for (const double inside : {3.0, 4.0, 5.0, 6.0, 7.0}) {
    CHECK(r.at(Point{inside}).distance == 0);
    CHECK(r.at(Point{inside}).log_factor == 0.5);
  }
  for (const double beyond : {0.25, 1.0, 3.0, 10.0}) {
    const Residual::Value low = r.at(Point{3 - beyond}), high = r.at(Point{7 + beyond});
    CHECK(low.distance == Approx(beyond));
    CHECK(high.distance == Approx(beyond));
    CHECK(low.log_factor == Approx(0.5 * std::exp(-beyond)));
    CHECK(high.log_factor == Approx(0.5 * std::exp(-beyond)));
  }
  CHECK(std::abs(r.at(Point{100}).log_factor) < 1e-38);
  CHECK(r.at(Point{7 + 1e-9}).log_factor == Approx(0.5).epsilon(1e-8));  // no jump at the edge
  // On several axes the distance is the straight one.
  const Residual plane{2, {0, 0}, {0}, 0.5};
  CHECK(plane.at(Point{3, 4}).distance == Approx(4));
  CHECK(plane.at(Point{0.6, 0.8}).distance == Approx(0).margin(1e-12));
}

TEST_CASE("residual: a plain sum over its centres", "[residual]") {
  Random random(17);
  const auto between = [&](double low, double high) {
    return low + (high - low) * random.uniform();
  };
  for (int round = 0; round < 300; ++round) {
    const std::size_t num_axes = 1 + static_cast<std::size_t>(round) % 4;
    const std::size_t num_centres = 1 + static_cast<std::size_t>(between(0, 40));
    std::vector<Point> centres(num_centres, Point(num_axes));
    Residual r;
    r.num_axes = num_axes;
    r.constant = between(-0.2, 0.2);
    double sum_of_weights = 0;
    for (std::size_t c = 0; c < num_centres; ++c) {
      for (double& x : centres[c]) x = between(0, 14);
      r.centres.insert(r.centres.end(), centres[c].begin(), centres[c].end());
      const bool last = c + 1 == num_centres;
      r.weights.push_back(last ? -sum_of_weights : between(-0.03, 0.03));
      sum_of_weights += r.weights.back();
    }
    Point at(num_axes);
    for (double& x : at) x = between(-3, 17);
    double sum = r.constant, nearest = 1e9;
    for (std::size_t c = 0; c < num_centres; ++c) {
      sum += r.weights[c] * -distance(at, centres[c]);
      nearest = std::min(nearest, distance(at, centres[c]));
    }
    const double beyond = nearest > 1 ? nearest - 1 : 0;
    const double clipped = sum > 0.7 ? 0.7 : sum < -0.7 ? -0.7 : sum;
    CAPTURE(round, num_axes, num_centres);
    CHECK(r.at(at).distance == Approx(beyond).margin(1e-12));
    CHECK(r.at(at).log_factor == Approx(clipped * std::exp(-beyond)).margin(1e-12));
  }
}
