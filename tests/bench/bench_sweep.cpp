// Points a second of a sweep of folded training steps, and what of a point is not simulation.
#include <cstdio>
#include <thread>

#include "reports/sweep/run_sweep.hpp"
#include "tests/bench/bench.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

namespace moesim {

void bench_sweep() {
  SweepRequest request;
  request.scenario = scenario_folder() / "deepseek-v3-pretrain.jsonc";
  request.settings = {parse_setting("/routing/kind=balanced", "--set")};
  request.axes = {parse_axis("/plan/ep=16,32,64"),
                  parse_axis("/cluster/nic_bandwidth=10..100 GB/s:10"),
                  parse_axis("/plan/comm_sms=16..24:4")};
  request.main_phase_only = true;
  SweepPoints points(request);
  auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < points.size(); ++i) points.id(i);
  std::printf("sweep: %.2f ms to compose and hash a point\n",
              1e3 * seconds_since(start) / static_cast<double>(points.size()));
  SweepOptions options;
  options.num_threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const TemporaryFolder folder;
  SweepFile file(folder.path() / "sweep.jsonl", points.header({}));
  start = std::chrono::steady_clock::now();
  run_sweep(points, &file, options);
  std::printf("sweep of folded pre-training steps: %.0f points/s on %d threads\n",
              static_cast<double>(points.size()) / seconds_since(start),
              options.num_threads);
}

}  // namespace moesim
