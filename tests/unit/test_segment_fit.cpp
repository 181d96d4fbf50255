// Collectives: the best of a few latencies and rates.
#include <cmath>

#include "calibrate/fit/segment_fit.hpp"
#include "model/random.hpp"
#include "tests/catch.hpp"
#include "tests/hidden_points.hpp"
#include "tests/refusal.hpp"

namespace moesim {
namespace {

struct Truth {
  double latency_us, bytes_per_s;
};

double seconds(const std::vector<Truth>& lines, double bytes) {
  double best = 1e9;
  for (const Truth& l : lines) best = std::min(best, 1e-6 * l.latency_us + bytes / l.bytes_per_s);
  return best;
}

std::vector<Point> all_reduce(
    const std::vector<Truth>& lines, int from, int to, double noise = 0, std::int64_t ranks = 16) {
  std::vector<Point> points;
  Random random(11);
  for (int half = 2 * from; half <= 2 * to; ++half) {
    const auto bytes = static_cast<std::int64_t>(std::exp2(0.5 * half));
    const double t = seconds(lines, static_cast<double>(bytes)) * std::exp(noise * random.normal());
    points.push_back(timed_point("all_reduce", {ranks, 8, bytes}, t * s));
  }
  return points;
}

}  // namespace

TEST_CASE("segment fit: three lines come back") {
  const std::vector<Truth> truth = {{8, 2e9}, {20, 30e9}, {60, 150e9}};
  const auto points = all_reduce(truth, 10, 30);
  const auto fits = fit_segments(addresses(points), 1);
  REQUIRE(fits.size() == 1);
  const SegmentFit& fit = fits[0];
  CHECK(fit.ranks == 16);
  CHECK(fit.ranks_per_node == 8);
  CHECK(fit.smallest == 1024);
  CHECK(fit.largest == 1 << 30);
  CHECK(fit.in_sample.max < 0.01);
  CHECK(fit.left_out.median < 0.01);
  CHECK(fit.left_out.num_points == 41);
  GroupFit group;
  group.segments = fit.segments;
  // Where two lines cross between two sizes, a third may cut the corner.
  for (double bytes = 1500; bytes < 1e9; bytes *= 1.7)
    CHECK(group_time(group, bytes).in(s) == Approx(seconds(truth, bytes)).epsilon(0.04));
}

TEST_CASE("segment fit: one line comes back, within the noise") {
  const std::vector<Truth> truth = {{12, 40e9}};
  const auto points = all_reduce(truth, 12, 28, 0.02);
  const SegmentFit fit = fit_segments(addresses(points), 1).at(0);
  CHECK(fit.left_out.median < 0.02);
  GroupFit group;
  group.segments = fit.segments;
  for (double bytes = 5000; bytes < 2e8; bytes *= 3)
    CHECK(group_time(group, bytes).in(s) == Approx(seconds(truth, bytes)).epsilon(0.03));
  for (std::size_t i = 1; i < fit.segments.size(); ++i)
    CHECK(fit.segments[i].latency >= fit.segments[i - 1].latency);
}

TEST_CASE("segment fit: four sizes make one line, three are refused") {
  const std::vector<Truth> truth = {{12, 40e9}};
  auto four = all_reduce(truth, 20, 22);
  four.pop_back();
  CHECK(fit_segments(addresses(four), 1).at(0).segments.size() == 1);
  auto points = all_reduce(truth, 20, 21);
  points.push_back(points.front());  // measured twice is no fourth size
  CHECK(refusal([&] { fit_segments(addresses(points), 1); }) ==
        "a test: all_reduce on 16 ranks, 8 a node, has 3 sizes; expected at least 4");
}

TEST_CASE("segment fit: a size that is left out has no say") {
  auto points = all_reduce({{12, 40e9}}, 20, 22);
  points.back().warm->median *= 1.5;
  const SegmentFit fit = fit_segments(addresses(points), 1).at(0);
  CHECK(fit.left_out.max == Approx(1 - 1 / 1.5).margin(0.005));
  CHECK(fit.in_sample.max < fit.left_out.max - 0.01);
}

TEST_CASE("segment fit: geometries are apart, and the first with too few sizes is named") {
  const std::vector<Truth> truth = {{12, 40e9}};
  std::vector<Point> points;
  for (const std::int64_t ranks : {32, 16, 64})
    for (Point& p : all_reduce({{static_cast<double>(ranks), 40e9}}, 16, 24, 0, ranks))
      points.push_back(std::move(p));
  const auto fits = fit_segments(addresses(points), 2);
  REQUIRE(fits.size() == 3);
  for (const SegmentFit& fit : fits)
    CHECK(fit.segments[0].latency.in(us) == Approx(static_cast<double>(fit.ranks)).epsilon(1e-3));
  for (Point& p : points)
    if (p.shape[0] >= 32) p.shape[2] = 1024;
  for (const int threads : {1, 2, 3})
    CHECK(refusal([&] { fit_segments(addresses(points), threads); }) ==
          "a test: all_reduce on 32 ranks, 8 a node, has 1 sizes; expected at least 4");
}

TEST_CASE("segment fit: an exchange is told by width, experts a token and SMs") {
  std::vector<Point> points;
  for (const std::int64_t hidden : {4096, 7168})
    for (const std::int64_t sms : {20, 24})
      for (std::int64_t tokens = 8; tokens <= 128; tokens *= 2) {
        points.push_back(
            timed_point("dispatch_low_latency",
                        {8, 8, tokens, hidden, 8},
                        (20 + 0.01 * static_cast<double>(hidden * tokens) / 100) * us));
        points.back().sms = sms;
      }
  const auto fits = fit_segments(addresses(points), 1);
  REQUIRE(fits.size() == 4);
  CHECK(fits[0].hidden == 4096);
  CHECK(fits[0].sms == 20);
  CHECK(fits[1].sms == 24);
  CHECK(fits[2].hidden == 7168);
  CHECK(fits[2].topk == 8);
  CHECK(fits[2].in_sample.max < 0.01);
}

}  // namespace moesim
