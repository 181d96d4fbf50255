// How long a fit of very many points takes: a GEMM on a grid of shapes, timed by the fake's hidden
// formula with noise.
#include <cmath>
#include <cstdio>
#include <thread>

#include "calibrate/fit/kernel_fit.hpp"
#include "model/random.hpp"
#include "tests/bench/bench.hpp"
#include "tests/hidden_points.hpp"

namespace moesim {

void bench_fit() {
  std::vector<Point> points;
  Random random(1);
  constexpr double kNoise = 0.02;
  for (int m = 0; m < 48; ++m)
    for (int n = 0; n < 25; ++n)
      for (int k = 0; k < 25; ++k)
        points.push_back(hidden_point("gemm_fp8",
                                      {{static_cast<std::int64_t>(8 * std::pow(1.23, m)),
                                        64 * (n * n + 2 * n + 2),
                                        64 * (k * k + k + 2)},
                                       {},
                                       0,
                                       false},
                                      std::exp(kNoise * random.normal())));
  FitOptions options;
  options.rule = TileRule::fewest_waves;
  options.num_threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const auto start = std::chrono::steady_clock::now();
  const KernelFit fit = fit_kernel(addresses(points), gpu_named("h100"), options);
  const double t = seconds_since(start);
  std::printf("fit of %zu GEMM points: %.1f s on %d threads, held-out median %.2f %%\n",
              points.size(),
              t,
              options.num_threads,
              100 * fit.left_out.front().error.median);
}

}  // namespace moesim
