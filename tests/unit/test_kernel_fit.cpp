// A fit of one operation: it recovers the fake's hidden numbers, and its held-out errors are of
// points it had not seen.
#include <algorithm>
#include <cmath>

#include "calibrate/fit/kernel_fit.hpp"
#include "model/kernel_model.hpp"
#include "model/random.hpp"
#include "tests/catch.hpp"
#include "tests/hidden_points.hpp"
#include "tests/refusal.hpp"

namespace moesim {
namespace {

const GpuSpec kGpu = gpu_named("h100");

FitOptions own_plan() {
  FitOptions options;
  options.rule = TileRule::fewest_waves;
  return options;
}

// Points of a grid of m, n and k, with noise of their own.
std::vector<Point> gemms(double noise, const std::vector<double>& factor_of_m = {}) {
  std::vector<Point> points;
  Random random(5);
  std::size_t level = 0;
  for (const std::int64_t m : {16, 64, 128, 256, 384, 512, 1024, 2048, 4096, 8192}) {
    for (const std::int64_t n : {576, 1536, 4096, 7168, 24576})
      for (const std::int64_t k : {512, 1536, 2048, 7168})
        points.push_back(hidden_point(
            "gemm_fp8",
            {{m, n, k}, {}, 0, false},
            (factor_of_m.empty() ? 1 : factor_of_m.at(level)) * std::exp(noise * random.normal())));
    ++level;
  }
  return points;
}

const ErrorSummary& left_out(const KernelFit& fit, const std::string& what) {
  for (const LeftOut& left : fit.left_out)
    if (left.what == what) return left.error;
  FAIL("nothing was left out by " << what);
  return fit.in_sample;
}

std::vector<Point> casts(const std::vector<std::int64_t>& sizes, std::int64_t sms = 0) {
  std::vector<Point> points;
  for (const std::int64_t bytes : sizes)
    points.push_back(hidden_point("cast", {{bytes}, {}, sms, false}));
  return points;
}

}  // namespace

TEST_CASE("kernel fit: the hidden GEMM comes back") {
  const auto points = gemms(0);
  const KernelFit fit = fit_kernel(addresses(points), kGpu, own_plan());
  CHECK(fit.num_points == 200);
  CHECK(fit.num_shapes == 200);
  CHECK(fit.in_sample.p95 < 1e-3);
  CHECK(left_out(fit, "m").p95 < 2e-3);
  CHECK(left_out(fit, "n and k").p95 < 2e-3);
  // As in calibrate/fake_time.cpp. How fast operands are loaded shows nowhere at this efficiency.
  CHECK(fit.values[0] == Approx(0.745).epsilon(0.01));
  CHECK(fit.values[4] == Approx(2.45e-6).epsilon(0.05));
  CHECK(fit.values[5] == Approx(0.81).epsilon(0.02));
  CHECK_FALSE(fit.repeat_noise);
}

TEST_CASE("kernel fit: with noise the errors are the noise") {
  const auto points = gemms(0.02);
  const KernelFit fit = fit_kernel(addresses(points), kGpu, own_plan());
  CHECK(left_out(fit, "m").median < 0.02);
  CHECK(left_out(fit, "n and k").median < 0.02);
  CHECK(left_out(fit, "m").median > 0.008);  // noise cannot be predicted
}

TEST_CASE("kernel fit: a model that memorises is small in sample and large on what is left out") {
  // Every level of m is off by a factor of its own: the residual learns them, none foretells
  // another.
  const auto points = gemms(0, {0.75, 1.3, 0.8, 1.25, 0.7, 1.3, 0.8, 1.35, 0.75, 1.25});
  FitOptions options = own_plan();
  options.smoothing = 1e-4;
  const KernelFit fit = fit_kernel(addresses(points), kGpu, options);
  CHECK(fit.in_sample.median < 0.05);
  CHECK(left_out(fit, "m").median > 0.2);
  CHECK(left_out(fit, "m").median > 5 * fit.in_sample.median);
  REQUIRE(fit.worst.size() == 3);
  CHECK(std::abs(fit.worst[0].error) == Approx(left_out(fit, "m").max));
  CHECK(std::abs(fit.worst[0].error) >= std::abs(fit.worst[1].error));
}

TEST_CASE("kernel fit: the coefficients are fitted again without what is left out") {
  // Three sizes on the hidden line, the last half as long again: the other two foretell the line.
  auto points = casts({1 << 20, 1 << 24, 1 << 28});
  points.back().cold->median *= 1.5;
  const KernelFit fit = fit_kernel(addresses(points), kGpu, {});
  REQUIRE(fit.worst.size() == 3);
  const auto last = std::find_if(fit.worst.begin(), fit.worst.end(), [&](const WorstPoint& w) {
    return w.shape == points.back().shape;
  });
  REQUIRE(last != fit.worst.end());
  CHECK(last->error == Approx(1 / 1.5 - 1).margin(2e-3));
}

TEST_CASE("kernel fit: an SM multiplies a block of decode no faster than the datasheet") {
  // Times that follow the bytes alone, of one head count: nothing in them bounds the block.
  const Case& decode = *find_case("attention_decode");
  std::vector<Point> points;
  for (const std::int64_t batch : {1, 4, 16, 64, 128, 256})
    for (const std::int64_t length : {1024, 4096, 16384, 65536}) {
      const Shape shape{batch, length, 1, 128};
      const Seconds time = 10 * us + decode.work(shape, {}).bytes / (0.7 * kGpu.hbm_bandwidth);
      points.push_back(timed_point("attention_decode", shape, time));
    }
  const KernelFit fit = fit_kernel(addresses(points), kGpu, {});
  const double flops = 2.0 * 64 * 64 * (576 + 512);
  CHECK(fit.values[0] >= flops / (kGpu.peak_bf16.in(FLOP_per_s) / 132) * (1 - 1e-12));
  // 256 heads at once have twice the products of 128: never faster than the datasheet either.
  Profile profile;
  profile.gpu = kGpu;
  store(fit, addresses(points), kGpu, TileRule::fastest, "a test", profile);
  const Work work = decode.work({128, 65536, 2, 128}, {});
  const Seconds time = decode_base_time(*profile.decode, 128, 65536, 256, work.bytes, 132);
  CHECK(work.flops / time <= kGpu.peak_bf16);
}

TEST_CASE("kernel fit: the same numbers with any number of threads") {
  const auto points = gemms(0.02);
  FitOptions options = own_plan();
  const KernelFit one = fit_kernel(addresses(points), kGpu, options);
  options.num_threads = 3;
  const KernelFit three = fit_kernel(addresses(points), kGpu, options);
  CHECK(one.values == three.values);
  CHECK(one.residual.weights == three.residual.weights);
  CHECK(left_out(one, "m").p95 == left_out(three, "m").p95);
}

TEST_CASE("kernel fit: thinning many points keeps every level") {
  // Twenty sizes over and over: every twentieth point is of one size and says nothing of the rate.
  std::vector<Point> points;
  for (int repeat = 0; repeat < 1500; ++repeat)
    for (std::int64_t i = 0; i < 20; ++i)
      points.push_back(hidden_point("cast", {{(i + 1) << 20}, {}, 0, false}));
  const KernelFit fit = fit_kernel(addresses(points), kGpu, {});
  CHECK(fit.num_shapes == 20);
  CHECK(fit.values[0] == Approx(2.35e-6).epsilon(1e-3));
  CHECK(fit.values[1] == Approx(0.83 * kGpu.hbm_bandwidth.in(B_per_s)).epsilon(1e-3));
}

TEST_CASE("kernel fit: rates are those on the most SMs that any point used") {
  // The first points ran on a sixth of the SMs: nothing may depend on which come first.
  const std::vector<std::int64_t> sizes = {1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 28};
  std::vector<Point> points = casts(sizes, 22), all = casts(sizes);
  points.insert(points.end(), all.begin(), all.end());
  const KernelFit fit = fit_kernel(addresses(points), kGpu, {});
  Profile profile;
  store(fit, addresses(points), kGpu, TileRule::fastest, "a test", profile);
  const auto& cast = profile.memory[kernel_index(*find_case("cast"))];
  REQUIRE(cast);
  CHECK(cast->sms == kGpu.num_sms);
  // Hidden: 0.83 of the memory's rate on all SMs, 25.5 GB/s per SM on a few; a model with one rate
  // lies between the two.
  CHECK(cast->bandwidth->in(GB_per_s) > 0.80 * kGpu.hbm_bandwidth.in(GB_per_s));
  CHECK(cast->bandwidth->in(GB_per_s) < 132 * 25.6);
  // Levels left out, one of which held the first point.
  CHECK(left_out(fit, "bytes").max < 0.15);
}

TEST_CASE("kernel fit: attention on fewer SMs is slower by as much") {
  std::vector<Point> points;
  for (const std::int64_t sms : {66, 0})
    for (const std::int64_t seq : {512, 1024, 2048, 4096, 8192})
      for (const std::int64_t heads : {16, 64, 128})
        points.push_back(
            hidden_point("attention_forward", {{1, seq, 0, heads, 192, 128}, {}, sms, false}));
  const KernelFit fit = fit_kernel(addresses(points), kGpu, {});
  CHECK(fit.in_sample.p95 < 0.01);
  Profile profile;
  store(fit, addresses(points), kGpu, TileRule::fastest, "a test", profile);
  const auto& forward = profile.attention[kernel_index(*find_case("attention_forward"))];
  REQUIRE(forward);
  CHECK(forward->sms == kGpu.num_sms);
  CHECK(forward->rate.in(TFLOP_per_s) ==
        Approx(0.565 * kGpu.peak_bf16.in(TFLOP_per_s)).epsilon(0.02));
}

TEST_CASE("kernel fit: fewer shapes than coefficients are refused") {
  const auto one = casts({1 << 20, 1 << 20, 1 << 20});
  CHECK(refusal([&] { fit_kernel(addresses(one), kGpu, {}); }) ==
        "a test: cast has 1 shapes; its form has 2 coefficients and needs at least as many");
  const auto all = gemms(0);
  const std::vector<Point> six(all.begin(), all.begin() + 6);
  CHECK(refusal([&] { fit_kernel(addresses(six), kGpu, own_plan()); }) ==
        "a test: gemm_fp8 has 6 shapes; its form has 7 coefficients and needs at least as many");
}

TEST_CASE("kernel fit: an error nobody could measure is not 0") {
  // Two shapes, two coefficients: the fit goes through both and knows nothing of its error.
  const auto two = casts({1 << 20, 1 << 28});
  const KernelFit exact = fit_kernel(addresses(two), kGpu, {});
  CHECK(exact.in_sample.max < 1e-3);
  CHECK(exact.left_out.empty());
  const ModelError stated = model_error(exact);
  CHECK(stated.basis == "stated");
  CHECK(stated.inside == kStatedError);
  CHECK(stated.outside == 2 * kStatedError);

  // Three levels can be left out one by one.
  const auto three = casts({1 << 20, 1 << 24, 1 << 28});
  CHECK(model_error(fit_kernel(addresses(three), kGpu, {})).basis == "held_out");

  // A kernel of fixed duration has but its repeats.
  std::vector<Point> fixed;
  for (const double t : {4.0, 4.2, 4.0}) fixed.push_back(timed_point("small", {}, t * us));
  const KernelFit small = fit_kernel(addresses(fixed), kGpu, {});
  CHECK(small.values[0] == Approx(4e-6).epsilon(0.02));
  CHECK(model_error(small).basis == "in_sample");
  CHECK(model_error(small).inside == Approx(0.05).margin(0.003));
  fixed.resize(1);
  CHECK(model_error(fit_kernel(addresses(fixed), kGpu, {})).basis == "stated");
}

TEST_CASE("kernel fit: in-sample errors are widened by what the coefficients took") {
  KernelFit fit;
  fit.of = find_case("cast");
  fit.num_shapes = 6;
  fit.values = {1, 1};
  fit.in_sample.p90 = 0.01;
  CHECK(model_error(fit).inside == Approx(0.01 * std::sqrt(2.0)));
  fit.repeat_noise = ErrorSummary{3, 0.02, 0.03, 0.04, 0.05};
  CHECK(model_error(fit).inside == 0.03);
}

TEST_CASE("kernel fit: repeats of a shape, by hand") {
  std::vector<Point> points = casts({1 << 20, 1 << 20, 1 << 22});
  CHECK(repeat_noise(addresses(points))->num_points == 1);
  points[1].cold->median *= 1.1;
  CHECK(repeat_noise(addresses(points))->max == Approx(0.1));
  points[2].cold->p10 = 0.9 * points[2].cold->median;
  points[2].cold->p90 = 1.3 * points[2].cold->median;
  CHECK(repeat_noise(addresses(points))->max == Approx(0.2));
  // Inputs in the cache are another measurement, not a repeat.
  points = casts({1 << 20, 1 << 20});
  points[1].warm = points[1].cold;
  points[1].cold.reset();
  CHECK_FALSE(repeat_noise(addresses(points)));
}

TEST_CASE("kernel fit: a shape disagrees by its shortest and its longest time") {
  // Each is within a quarter of the one before, the last is not within a quarter of the first.
  std::vector<Point> points = casts({1 << 20, 1 << 22, 1 << 20, 1 << 20});
  points[2].cold->median *= 1.2;
  points[3].cold->median *= 1.44;
  const auto found = disagreements(addresses(points));
  REQUIRE(found.size() == 1);
  CHECK(found[0].first == &points[0]);
  CHECK(found[0].second == &points[3]);
  CHECK(found[0].points.size() == 3);
  points[3].cold->median = 1.1 * points[0].cold->median;
  CHECK(disagreements(addresses(points)).empty());
}

TEST_CASE("kernel fit: more rows in less time are counted") {
  std::vector<Point> points = gemms(0);
  CHECK(fit_kernel(addresses(points), kGpu, own_plan()).num_not_monotone == 0);
  for (Point& p : points)
    if (p.shape == Shape{4096, 7168, 2048}) p.cold->median *= 0.3;
  CHECK(fit_kernel(addresses(points), kGpu, own_plan()).num_not_monotone == 1);
}

}  // namespace moesim
