// Robust least squares: known coefficients come back, bad measurements pull little, bounds hold.
#include <algorithm>
#include <cmath>

#include "calibrate/fit/least_squares.hpp"
#include "model/random.hpp"
#include "tests/catch.hpp"

namespace moesim {
namespace {

// log of t0 + size / rate over what was measured, sizes from 1 to 2^20.
struct Line {
  std::vector<double> sizes, measured;

  ErrorFunction errors() const {
    return [this](const std::vector<double>& v) {
      std::vector<double> e;
      for (std::size_t i = 0; i < sizes.size(); ++i)
        e.push_back(std::log(measured[i] / (v[0] + sizes[i] / v[1])));
      return e;
    };
  }
};

constexpr double kOverhead = 3.5, kRate = 700;

Line line(double noise, int num_samples = 61) {
  Line line;
  Random random(7);
  for (int i = 0; i < num_samples; ++i) {
    line.sizes.push_back(std::exp2(20.0 * i / (num_samples - 1)));
    line.measured.push_back((kOverhead + line.sizes.back() / kRate) *
                            std::exp(noise * random.normal()));
  }
  return line;
}

double middle(std::vector<double> errors) {
  for (double& e : errors) e = std::abs(e);
  std::sort(errors.begin(), errors.end());
  return errors[errors.size() / 2];
}

const std::vector<Parameter> kParameters = {{"overhead", 1, 1e-3, 1e3}, {"rate", 10, 1, 1e6}};

}  // namespace

TEST_CASE("least squares: without noise the coefficients come back") {
  const Line exact = line(0);
  const auto v = least_squares(kParameters, exact.errors());
  CHECK(v[0] == Approx(kOverhead).epsilon(1e-6));
  CHECK(v[1] == Approx(kRate).epsilon(1e-6));
  const auto many = least_squares_from_many(kParameters, exact.errors(), 4);
  CHECK(many[0] == Approx(kOverhead).epsilon(1e-6));
  CHECK(many[1] == Approx(kRate).epsilon(1e-6));
}

TEST_CASE("least squares: with noise the coefficients come back within it") {
  const Line noisy = line(0.02);
  const auto v = least_squares(kParameters, noisy.errors());
  CHECK(v[0] == Approx(kOverhead).epsilon(0.02));
  CHECK(v[1] == Approx(kRate).epsilon(0.02));
  CHECK(v[0] != kOverhead);
}

TEST_CASE("least squares: a tenth of bad measurements pulls little") {
  Line bad = line(0.02);
  for (std::size_t i = 3; i < bad.measured.size(); i += 10) bad.measured[i] *= 3;
  const auto v = least_squares(kParameters, bad.errors());
  // Without Huber's weights the mean of the logarithms moves by 0.1 log 3, 12 %.
  CHECK(v[0] == Approx(kOverhead).epsilon(0.04));
  CHECK(v[1] == Approx(kRate).epsilon(0.04));
}

TEST_CASE("least squares: bounds hold and the rest is as good as they allow") {
  const Line exact = line(0);
  // The rate may not reach its own optimum; the overhead that is best beside it is found by search.
  for (const double high : {300.0, 650.0}) {
    const std::vector<Parameter> bounded = {{"overhead", 1, 1e-3, 1e3}, {"rate", 10, 1, high}};
    const auto v = least_squares(bounded, exact.errors());
    CHECK(v[1] == Approx(high).epsilon(1e-9));
    CHECK(v[1] <= high);
    const double scale = middle(exact.errors()(v)) / 0.6745;  // the fit's own
    const double loss = robust_loss(exact.errors()(v), scale);
    double best = loss;
    for (double overhead = 0.5; overhead < 6; overhead += 0.01)
      best = std::min(best, robust_loss(exact.errors()({overhead, high}), scale));
    CHECK(loss <= best * 1.001);
  }
  // The optimum at the bound itself, approached from below and started on.
  for (const double start : {10.0, kRate}) {
    const std::vector<Parameter> at = {{"overhead", 1, 1e-3, 1e3}, {"rate", start, 1, kRate}};
    const auto v = least_squares(at, exact.errors());
    CHECK(v[0] == Approx(kOverhead).epsilon(1e-5));
    CHECK(v[1] == Approx(kRate).epsilon(1e-5));
    CHECK(v[1] <= kRate);
  }
  // Started on the lower bound, it leaves it.
  const std::vector<Parameter> low = {{"overhead", 1e-3, 1e-3, 1e3}, {"rate", 1, 1, 1e6}};
  const auto v = least_squares(low, exact.errors());
  CHECK(v[0] == Approx(kOverhead).epsilon(1e-5));
  CHECK(v[1] == Approx(kRate).epsilon(1e-5));
}

TEST_CASE("least squares: a coefficient that changes nothing stays where it starts") {
  const Line exact = line(0);
  std::vector<Parameter> parameters = kParameters;
  parameters.push_back({"idle", 5, 1, 10});
  const auto v = least_squares(parameters, exact.errors());
  CHECK(v[0] == Approx(kOverhead).epsilon(1e-6));
  CHECK(v[2] == Approx(5));
}

TEST_CASE("least squares: several starts leave a local minimum behind") {
  // sin has many: from the start alone the fit ends in the nearest.
  const std::vector<Parameter> parameters = {{"x", 1.2, 1, 40}};
  const ErrorFunction errors = [](const std::vector<double>& v) {
    return std::vector<double>{1 + std::sin(v[0]) + 0.05 * std::abs(v[0] - 23.6)};
  };
  const double alone = robust_loss(errors(least_squares(parameters, errors)), 1);
  const double many = robust_loss(errors(least_squares_from_many(parameters, errors, 16)), 1);
  CHECK(many < 0.01 * alone);
}

TEST_CASE("least squares: the loss is square near zero and straight beyond Huber's constant") {
  CHECK(robust_loss({0.5, -0.5}, 1) == Approx(0.25));
  CHECK(robust_loss({4}, 1) == Approx(1.345 * (4 - 1.345 / 2)));
  CHECK(robust_loss({4}, 2) == Approx(1.345 * (2 - 1.345 / 2)));
}

TEST_CASE("least squares: errors that are no numbers are an error of ours and no endless loop") {
  const ErrorFunction errors = [](const std::vector<double>&) {
    return std::vector<double>{std::nan("")};
  };
  CHECK_THROWS_AS(least_squares_from_many(kParameters, errors, 3), std::logic_error);
}

}  // namespace moesim
