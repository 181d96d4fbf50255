// The flow network: all-to-alls of every size the design asks for, dispatches, and the closed form.
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include "model/routing.hpp"
#include "sim/messages.hpp"
#include "tests/bench/bench.hpp"
#include "tests/shipped_data.hpp"

namespace moesim {
namespace {

// Rows of a flat all-to-all: equal, or as tokens choose destinations at random.
RowCounts all_to_all(std::int64_t gpus, bool equal) {
  RowCounts rows(gpus, 8);
  Random random(7);
  const double mean = 4096.0 * 8 / static_cast<double>(gpus);
  for (double& v : rows.rows_to_rank)
    v = equal ? 64 : std::max(1.0, std::round(mean + std::sqrt(mean) * random.normal()));
  return rows;
}

// As if every GPU were a node of its own: all traffic crosses NICs.
void bench_ports(std::int64_t gpus, bool equal) {
  const RowCounts rows = all_to_all(gpus, equal);
  const std::vector<double> capacities(static_cast<std::size_t>(2 * gpus), 44.6e9);
  const auto start = std::chrono::steady_clock::now();
  FlowNetwork network(capacities);
  for (std::int64_t from = 0; from < gpus; ++from)
    for (std::int64_t to = 0; to < gpus; ++to) {
      if (from == to) continue;
      const std::array<std::uint32_t, 2> path = {static_cast<std::uint32_t>(from),
                                                 static_cast<std::uint32_t>(gpus + to)};
      network.start(path, 7472 * rows.rows_to_rank[rows.to_rank(from, to)], 0, 3'700'000);
    }
  std::vector<std::uint32_t> ended;
  while (network.next()) network.advance(ended);
  std::printf("all-to-all of %lld GPUs, %s sizes: %.1f ms wall, %zu flows, %llu solutions\n",
              static_cast<long long>(gpus),
              equal ? "equal" : "unequal",
              1e3 * seconds_since(start),
              ended.size(),
              static_cast<unsigned long long>(network.num_solutions()));
}

ClusterSpec h800(std::int64_t nodes) {
  ClusterSpec cluster = shipped_scenario("deepseek-v3-pretrain").cluster;
  cluster.num_nodes = nodes;
  return cluster;
}

void bench_closed_form() {
  const Scenario scenario = shipped_scenario("deepseek-v3-pretrain");
  const LinkRates links = link_rates(scenario.cluster, scenario.profile.comm);
  const ExpertTraffic traffic = expert_traffic(all_to_all(512, false), ExpertAlgorithm::flat);
  const Bytes row = 7472.0 * B;
  const Bandwidth copy = 1000 * GB_per_s;
  const auto start = std::chrono::steady_clock::now();
  const Seconds ports = busiest_port_time(links, traffic, row, copy);
  const double wall_s = seconds_since(start);
  const Network network(h800(64), links);
  const MessageEnds ends = simulate_messages(network, expert_messages(traffic, 0, row), {copy, {}});
  std::printf("closed form, 512 GPUs: %.2f ms wall, %.1f us; simulated %.1f us\n",
              1e3 * wall_s,
              ports.in(us),
              static_cast<double>(ends.last) / 1e6);
}

// `groups` expert-parallel groups of 64 at once, rows drawn from the law of 4,096 tokens a GPU.
void bench_dispatch(std::int64_t groups) {
  const Scenario scenario = shipped_scenario("deepseek-v3-pretrain");
  const TrainingPhase& phase = scenario.phases.front();
  const RoutingSampler sampler({*scenario.model.moe, phase.routing, {}, 64, 8, 1, 1});
  const Network network(h800(8 * groups), link_rates(scenario.cluster, scenario.profile.comm));
  const Bytes row = expert_message(scenario.model, phase.plan.recipe).dispatch;
  const auto start = std::chrono::steady_clock::now();
  std::vector<Message> messages;
  for (std::int64_t g = 0; g < groups; ++g) {
    const auto of_group = expert_messages(
        expert_traffic(sampler.sample_rows(4096, g, 0, 0), ExpertAlgorithm::two_hop), 64 * g, row);
    messages.insert(messages.end(), of_group.begin(), of_group.end());
  }
  const MessageEnds ends = simulate_messages(network, messages);
  std::printf(
      "node-limited dispatch of %lld GPUs, routing drawn: %.1f ms wall, %zu messages, ends at %.0f "
      "us\n",
      64 * static_cast<long long>(groups),
      1e3 * seconds_since(start),
      messages.size(),
      static_cast<double>(ends.last) / 1e6);
}

}  // namespace

void bench_network() {
  bench_ports(64, false);
  bench_ports(128, false);
  bench_ports(256, false);
  bench_ports(512, true);
  std::printf("peak memory so far: %.0f MiB\n", peak_memory_mib());
  bench_closed_form();
  bench_dispatch(1);
  bench_dispatch(32);
}

}  // namespace moesim
