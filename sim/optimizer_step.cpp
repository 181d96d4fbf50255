// Gradients, optimizer and weights after the last chunk.
//
// ZeRO-1: FP32 gradients are reduce-scattered over the ranks that hold the same parameters, each
// rank updates its shard of the master weights and moments, BF16 weights are all-gathered.
// Parameters outside the experts are held by every rank of the stage (dp x cp), an expert's by one
// rank of each expert-parallel group; a bidirectional schedule holds each stage twice.
#include "sim/optimizer_step.hpp"

#include <algorithm>

#include "model/rank_grid.hpp"
#include "model/training_memory.hpp"

namespace moesim {

std::vector<OptimizerTimes> optimizer_times(const Scenario& scenario,
                                            const TrainingPhase& phase,
                                            const CostModel& model,
                                            const NetworkContention& contention) {
  const ParallelPlan& plan = phase.plan;
  const ClusterSpec& cluster = scenario.cluster;
  const LinkRates links = link_rates(cluster, scenario.profile.comm);
  const auto stages = stage_layers(plan, scenario.model);
  const PipelineLayout layout = plan.layout();
  const GroupPlace dense = dense_replicas(plan, cluster), expert = expert_replicas(plan, cluster);
  const std::int64_t replicas = dense.ranks * layout.copies(),
                     expert_copies = expert.ranks * layout.copies();
  const SmShare all_sms{cluster.gpu.num_sms, false};
  auto stream = [&](double bytes) {
    Op op;
    op.name = "optimizer";
    op.kernel = Kernel::elementwise;
    op.category = Category::optimizer;
    op.pass = Pass::weight_grad;
    op.bytes = bytes * B;
    return model.cost(op, all_sms).time;
  };
  std::vector<OptimizerTimes> times;
  for (std::int64_t rank = 0; rank < plan.pp; ++rank) {
    OptimizerTimes t;
    double local = 0, shard = 0;
    for (const std::int64_t stage : layout.stages_of(rank)) {
      const StageParameters p = stage_parameters(scenario.model,
                                                 stages[static_cast<std::size_t>(stage)],
                                                 local_experts(scenario.model, plan));
      auto rings = [&](double bytes_per_parameter) {
        return contention.dense_ring * ring_time(cluster,
                                                 links,
                                                 bytes_per_parameter * p.other * B,
                                                 replicas,
                                                 dense.per_node) +
               contention.expert_ring * ring_time(cluster,
                                                  links,
                                                  bytes_per_parameter * p.expert * B,
                                                  expert_copies,
                                                  expert.per_node);
      };
      t.reduce_gradients += rings(4);
      t.gather_weights += rings(2);
      local += p.other + p.expert;
      shard +=
          p.other / static_cast<double>(replicas) + p.expert / static_cast<double>(expert_copies);
    }
    // The norm reads this rank's gradient shard once; the scalar all-reduce is two latencies a
    // doubling of the ranks.
    double rounds = 0;
    for (std::int64_t n = 1; n < plan.world(); n *= 2) ++rounds;
    t.gradient_norm = stream(4 * shard) + 2 * rounds * cluster.nic_latency;
    // Adam: gradient read, master weights and both moments read and written, BF16 weights written;
    // then gradients are zeroed and, for FP8, every local weight is quantised again.
    t.update = stream(shard * (4 + 8 + 4 * plan.moment_bytes + 2)) + stream(4 * local);
    if (is_fp8(plan.recipe)) t.update += stream(3 * local);
    times.push_back(t);
  }
  return times;
}

void end_step(const ParallelPlan& plan,
              const std::vector<OptimizerTimes>& optimizer,
              const std::vector<Tick>& chunk_end,
              std::int64_t ranks_per_stage,
              Timeline& timeline) {
  const auto pp = static_cast<std::size_t>(plan.pp),
             per_stage = static_cast<std::size_t>(ranks_per_stage);
  std::vector<Tick> ready(pp, 0);
  for (std::size_t r = 0; r < chunk_end.size(); ++r)
    ready[r / per_stage] = std::max(ready[r / per_stage], chunk_end[r]);
  Tick all_reduced = 0;
  for (std::size_t p = 0; p < pp; ++p) {
    const std::size_t mirror = plan.layout().copies() == 2 ? pp - 1 - p : p;
    all_reduced = std::max(
        all_reduced, std::max(ready[p], ready[mirror]) + to_tick(optimizer[p].reduce_gradients));
  }
  for (const OptimizerTimes& o : optimizer)
    timeline.step = std::max(
        timeline.step,
        all_reduced + to_tick(o.gradient_norm) + to_tick(o.update) + to_tick(o.gather_weights));
  for (std::size_t r = 0; r < chunk_end.size(); ++r) {
    const OptimizerTimes& o = optimizer[r / per_stage];
    const Tick busy = to_tick(o.reduce_gradients) + to_tick(o.gradient_norm) + to_tick(o.update) +
                      to_tick(o.gather_weights);
    const Tick waiting = timeline.step - chunk_end[r] - busy;
    RankTimes& times = timeline.ranks[r];
    times.by_category[static_cast<std::size_t>(Category::optimizer)] += busy;
    times.by_phase[static_cast<std::size_t>(SchedulePhase::optimizer)] += busy;
    times.by_category[static_cast<std::size_t>(Category::bubble)] += waiting;
    times.by_phase[static_cast<std::size_t>(SchedulePhase::bubble)] += waiting;
  }
}

}  // namespace moesim
