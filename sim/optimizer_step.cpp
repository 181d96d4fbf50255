// Gradients, optimizer and weights after the last chunk.
//
// ZeRO-1: FP32 gradients are reduce-scattered over the ranks that hold the same parameters, each rank updates its shard of the
// master weights and moments, BF16 weights are all-gathered. Parameters outside the experts are held by every rank of the
// stage (dp x cp), an expert's by one rank of each expert-parallel group; a bidirectional schedule holds each stage twice.
#include <algorithm>

#include "model/training_memory.hpp"
#include "sim/optimizer_step.hpp"

namespace moesim {

std::vector<OptimizerTimes> optimizer_times(const Scenario& scenario, const TrainingPhase& phase, const CostModel& model) {
  const ParallelPlan& plan = phase.plan;
  const ClusterSpec& cluster = scenario.cluster;
  const LinkRates links = link_rates(cluster, scenario.profile.comm);
  const auto stages = stage_layers(plan, scenario.model);
  const std::int64_t copies = plan.two_stages_per_rank() ? 2 : 1;
  const std::int64_t replicas = plan.dp * plan.cp * copies, expert_replicas = plan.num_ep_groups() * copies;
  const std::int64_t per_node = std::min(plan.dp * plan.cp, cluster.gpus_per_node);
  // Replicas of an expert sit ep ranks apart: on one node only when the group is smaller than the node.
  const std::int64_t experts_per_node = std::min(plan.num_ep_groups(), std::max<std::int64_t>(1, cluster.gpus_per_node / plan.ep));
  const SmShare all_sms{cluster.gpu.num_sms, false};
  auto stream = [&](double bytes) {
    return model.cost({"optimizer", Kernel::elementwise, Category::optimizer, Pass::weight_grad, 1, {}, Flop(), bytes * B, 0}, all_sms).time;
  };
  std::vector<OptimizerTimes> times;
  for (std::int64_t rank = 0; rank < plan.pp; ++rank) {
    OptimizerTimes t;
    double local = 0, shard = 0;
    for (std::int32_t direction = 0; direction < copies; ++direction) {
      const StageParameters p = stage_parameters(scenario.model, stages[static_cast<std::size_t>(stage_of(plan.pp, rank, direction))], plan.ep);
      t.reduce_gradients += ring_time(cluster, links, 4 * p.other * B, replicas, per_node) + ring_time(cluster, links, 4 * p.expert * B, expert_replicas, experts_per_node);
      t.gather_weights += ring_time(cluster, links, 2 * p.other * B, replicas, per_node) + ring_time(cluster, links, 2 * p.expert * B, expert_replicas, experts_per_node);
      local += p.other + p.expert;
      shard += p.other / static_cast<double>(replicas) + p.expert / static_cast<double>(expert_replicas);
    }
    // The norm reads this rank's gradient shard once; the scalar all-reduce is two latencies a doubling of the ranks.
    double rounds = 0;
    for (std::int64_t n = 1; n < plan.world(); n *= 2) ++rounds;
    t.gradient_norm = stream(4 * shard) + 2 * rounds * cluster.nic_latency;
    // Adam: gradient read, master weights and both moments read and written, BF16 weights written; then gradients are zeroed
    // and, for FP8, every local weight is quantised again.
    t.update = stream(shard * (4 + 8 + 4 * plan.moment_bytes + 2)) + stream(4 * local);
    if (plan.recipe == Recipe::fp8_block) t.update += stream(3 * local);
    times.push_back(t);
  }
  return times;
}

}  // namespace moesim
