// How fast the simulator is: events a second of the queue alone, a folded step, all 2,048 ranks;
// then gates and the network (bench_routing, bench_network).
//   cmake --build build --target benchmarks && build/tests/benchmarks [scale]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "model/random.hpp"
#include "sim/event_queue.hpp"
#include "sim/simulator.hpp"
#include "tests/bench/bench.hpp"
#include "tests/shipped_data.hpp"

namespace moesim {
namespace {

// One event out and one in, with as many waiting as a 2,048-rank step has: two streams a rank.
void bench_event_queue() {
  constexpr int kWaiting = 4096, kEvents = 5'000'000;
  Random random(1);
  std::vector<Tick> delays(1 << 16);
  for (Tick& d : delays) d = static_cast<Tick>(random.uniform() * 1e9);
  EventQueue<std::uint64_t> queue;
  for (std::uint64_t i = 0; i < kWaiting; ++i) queue.at(delays[i], i);
  std::uint64_t check = 0;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < kEvents; ++i) {
    const std::uint64_t event = queue.pop();
    check = check * 31 + event;
    queue.at(queue.now() + delays[static_cast<std::size_t>(i) % delays.size()], event);
  }
  const double t = seconds_since(start);
  std::printf("event queue: %.1f million events/s (%d waiting; check %016llx)\n",
              kEvents / t / 1e6,
              kWaiting,
              static_cast<unsigned long long>(check));
}

// The DeepSeek-V3 pre-training step; balanced routing makes the ranks of a stage alike.
void bench_folded_step() {
  Scenario scenario = shipped_scenario("deepseek-v3-pretrain");
  scenario.phases[0].routing.kind = RoutingKind::balanced;
  const CostModel model(scenario.profile, scenario.cluster.gpu);
  std::vector<double> wall_ms;
  std::uint64_t events = 0;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    events = simulate_step(scenario, scenario.phases[0], model, {}).num_events;
    wall_ms.push_back(1e3 * seconds_since(start));
  }
  std::sort(wall_ms.begin(), wall_ms.end());
  std::printf("folded pre-training step: %.1f ms wall, median of 5 (%llu events)\n",
              wall_ms[2],
              static_cast<unsigned long long>(events));
}

void bench_all_ranks() {
  const Scenario scenario = shipped_scenario("deepseek-v3-pretrain");
  const CostModel model(scenario.profile, scenario.cluster.gpu);
  const auto start = std::chrono::steady_clock::now();
  const StepResult result = simulate_step(scenario, scenario.phases[0], model, {});
  const double t = seconds_since(start);
  std::printf(
      "%lld ranks with their own routing: %.2f s wall (%.1f million events/s), "
      "peak memory %.0f MiB\n",
      static_cast<long long>(result.num_simulated_ranks),
      t,
      static_cast<double>(result.num_events) / t / 1e6,
      peak_memory_mib());
}

// Llama 3 405B on 16,384 GPUs: dense, so the ranks of a stage are alike; folded, and all of them.
void bench_dense() {
  const Scenario scenario =
      shipped_scenario("llama-3.1-405b-h100",
                       {{"/cluster/num_nodes", "2048"}, {"/plan/dp", "128"}, {"/variants", "[]"}});
  const CostModel model(scenario.profile, scenario.cluster.gpu);
  for (const bool fold : {true, false}) {
    SimulationOptions options;
    options.allow_folding = fold;
    const auto start = std::chrono::steady_clock::now();
    const StepResult result = simulate_step(scenario, scenario.phases[0], model, options);
    std::printf("dense step on 16384 GPUs, %lld ranks simulated: %.3f s wall (%llu events)\n",
                static_cast<long long>(result.num_simulated_ranks),
                seconds_since(start),
                static_cast<unsigned long long>(result.num_events));
  }
}

// DeepSeek-V3 with ever more replicas, every rank with its own routing: what a rank and microbatch
// costs must not grow.
void bench_scale() {
  for (const std::int64_t num_nodes : {256, 1024, 12544}) {
    const std::int64_t gpus = 8 * num_nodes, dp = gpus / 16;
    const Scenario scenario =
        shipped_scenario("deepseek-v3-pretrain",
                         {{"/cluster/num_nodes", std::to_string(num_nodes)},
                          {"/cluster/fabric/levels", "3"},
                          {"/plan/dp", std::to_string(dp)},
                          {"/phases",
                           R"([{"name": "scale", "seq_len": 4096, "batch": )" +
                               std::to_string(120 * dp) + R"(, "steps": 1}])"},
                          {"/variants", "[]"}});
    const CostModel model(scenario.profile, scenario.cluster.gpu);
    SimulationOptions options;
    options.num_threads = 2;
    const auto start = std::chrono::steady_clock::now();
    const StepResult result = simulate_step(scenario, scenario.phases[0], model, options);
    const double t = seconds_since(start);
    std::printf(
        "MoE step on %lld GPUs: %.1f s wall, %.2f us a rank and microbatch, peak memory %.0f MiB\n",
        static_cast<long long>(gpus),
        t,
        1e6 * t / static_cast<double>(gpus * 120),
        peak_memory_mib());
  }
}

}  // namespace
}  // namespace moesim

// Without arguments all but the largest; "scale" alone: up to 100,352 GPUs, a few minutes.
int main(int argc, char** argv) {
  try {
    if (argc > 1 && std::string(argv[1]) == "scale") {
      moesim::bench_scale();
      return 0;
    }
    moesim::bench_event_queue();
    moesim::bench_folded_step();
    moesim::bench_all_ranks();
    moesim::bench_dense();
    moesim::bench_routing();
    moesim::bench_network();
    moesim::bench_cost_model();
    moesim::bench_fit();
    moesim::bench_serving_unit();
    moesim::bench_serving_cluster();
    moesim::bench_requests();
    moesim::bench_sweep();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
