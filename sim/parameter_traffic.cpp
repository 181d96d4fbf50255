#include "sim/parameter_traffic.hpp"

namespace moesim {

ParameterTraffic::ParameterTraffic(const Scenario& scenario,
                                   const ParallelPlan& plan,
                                   const NetworkContention& contention)
    : cluster_(scenario.cluster),
      links_(link_rates(scenario.cluster, scenario.profile.comm)),
      dense_(dense_replicas(plan, scenario.cluster)),
      expert_(expert_replicas(plan, scenario.cluster)),
      dense_slowdown_(contention.dense_ring),
      expert_slowdown_(contention.expert_ring),
      gradient_bytes_(plan.gradient_bytes),
      all_reduce_(plan.zero_stage == 0) {
  dense_.ranks = num_dense_replicas(plan);
  expert_.ranks = num_expert_replicas(plan);
}

Seconds ParameterTraffic::rings(const StageParameters& p, double bytes) const {
  auto ring = [&](double slowdown, double parameters, const GroupPlace& group) {
    if (parameters == 0) return Seconds();
    return slowdown *
           ring_time(cluster_, links_, bytes * parameters * B, group.ranks, group.per_node);
  };
  return ring(dense_slowdown_, p.other, dense_) + ring(expert_slowdown_, p.expert, expert_);
}

Seconds ParameterTraffic::reduce(const StageParameters& gradients) const {
  return (all_reduce_ ? 2 : 1) * rings(gradients, gradient_bytes_);
}

Seconds ParameterTraffic::gather(const StageParameters& weights) const { return rings(weights, 2); }

}  // namespace moesim
