#include "sim/optimizer_step.hpp"

#include <algorithm>

#include "model/rank_parameters.hpp"
#include "sim/parameter_traffic.hpp"

namespace moesim {

bool reduces_beside_chunks(const ParallelPlan& plan) {
  return plan.overlap_grad_reduce || plan.zero_stage >= 2;
}

bool gathers_after_update(const ParallelPlan& plan) {
  return (plan.zero_stage == 1 || plan.zero_stage == 2) && !plan.overlap_param_gather;
}

std::vector<OptimizerTimes> optimizer_times(const Scenario& scenario,
                                            const TrainingPhase& phase,
                                            const CostModel& model,
                                            const NetworkContention& contention) {
  const ParallelPlan& plan = phase.plan;
  const ClusterSpec& cluster = scenario.cluster;
  const ParameterTraffic traffic(scenario, plan, contention);
  const auto stages = stage_layers(plan, scenario.model);
  const PipelineLayout layout = plan.layout();
  const SmShare all_sms{cluster.gpu.num_sms, false};
  auto stream = [&](double bytes, Kernel kernel = Kernel::elementwise) {
    Op op;
    op.name = "optimizer";
    op.kernel = kernel;
    op.category = Category::optimizer;
    op.pass = Pass::weight_grad;
    op.bytes = bytes * B;
    return model.cost(op, all_sms).time;
  };
  std::vector<OptimizerTimes> times;
  for (std::int64_t rank = 0; rank < plan.pp; ++rank) {
    OptimizerTimes t;
    StageParameters params;
    for (const std::int64_t stage : layout.stages_of(rank)) {
      const StageParameters p =
          stage_parameters(scenario.model, plan, stages[static_cast<std::size_t>(stage)]);
      if (!reduces_beside_chunks(plan)) t.reduce_gradients += traffic.reduce(p);
      if (gathers_after_update(plan)) t.gather_weights += traffic.gather(p);
      params += p;
    }
    const double local = params.local(), shard = shard_of(plan, params);
    const double updated = plan.zero_stage == 0 ? local : shard;
    // The norm reads the gradients this rank updates from once; the scalar all-reduce is two
    // latencies a doubling of the ranks.
    double rounds = 0;
    for (std::int64_t n = 1; n < plan.world(); n *= 2) ++rounds;
    t.gradient_norm = stream(plan.gradient_bytes * updated) + 2 * rounds * cluster.nic_latency;
    // Adam: gradient read, master weights and both moments read and written, BF16 weights written;
    // then gradients are zeroed and, for FP8, every weight kept is quantised again.
    t.update =
        stream(updated * (plan.gradient_bytes + 8 + 4 * plan.moment_bytes + 2), Kernel::adam) +
        stream(plan.gradient_bytes * (plan.zero_stage >= 2 ? shard : local));
    if (is_fp8(plan.recipe)) t.update += stream(3 * (plan.zero_stage == 3 ? shard : local));
    times.push_back(t);
  }
  return times;
}

void end_step(const ParallelPlan& plan,
              const std::vector<OptimizerTimes>& optimizer,
              const std::vector<RankEnd>& ends,
              std::int64_t ranks_per_stage,
              Timeline& timeline) {
  const auto pp = static_cast<std::size_t>(plan.pp),
             per_stage = static_cast<std::size_t>(ranks_per_stage);
  std::vector<Tick> ready(pp, 0);
  for (std::size_t r = 0; r < ends.size(); ++r)
    ready[r / per_stage] =
        std::max(ready[r / per_stage], std::max(ends[r].chunks, ends[r].traffic));
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
  for (std::size_t r = 0; r < ends.size(); ++r) {
    const OptimizerTimes& o = optimizer[r / per_stage];
    const Tick busy = std::max<Tick>(0, ends[r].traffic - ends[r].chunks) +
                      to_tick(o.reduce_gradients) + to_tick(o.gradient_norm) + to_tick(o.update) +
                      to_tick(o.gather_weights);
    const Tick waiting = timeline.step - ends[r].chunks - busy;
    RankTimes& times = timeline.ranks[r];
    times.by_category[static_cast<std::size_t>(Category::optimizer)] += busy;
    times.by_phase[static_cast<std::size_t>(SchedulePhase::optimizer)] += busy;
    times.by_category[static_cast<std::size_t>(Category::bubble)] += waiting;
    times.by_phase[static_cast<std::size_t>(SchedulePhase::bubble)] += waiting;
  }
}

}  // namespace moesim
