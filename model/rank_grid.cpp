#include "model/rank_grid.hpp"

#include <algorithm>
#include <map>

namespace moesim {
namespace {

// `count` ranks from rank 0 on, `stride` apart.
GroupPlace place(const ParallelPlan& plan,
                 const ClusterSpec& cluster,
                 std::int64_t count,
                 std::int64_t stride) {
  std::map<std::int64_t, std::int64_t> in_node;
  for (std::int64_t i = 0; i < count; ++i)
    ++in_node[gpu_of(plan, i * stride) / cluster.gpus_per_node];
  GroupPlace group{count, 1};
  for (const auto& [node, ranks] : in_node) group.per_node = std::max(group.per_node, ranks);
  return group;
}

}  // namespace

RankCoordinates coordinates_of(const ParallelPlan& plan, std::int64_t rank) {
  RankCoordinates c;
  const std::int64_t in_stage = rank % plan.ranks_per_stage();
  c.pp = rank / plan.ranks_per_stage();
  c.tp = in_stage % plan.tp;
  c.cp = in_stage / plan.tp % plan.cp;
  c.dp = in_stage / plan.tp / plan.cp;
  c.ep_group = in_stage / plan.ranks_per_ep_group();
  c.ep_rank = in_stage % plan.ranks_per_ep_group() / plan.expert_tp;
  c.expert_tp = in_stage % plan.expert_tp;
  return c;
}

std::int64_t gpu_of(const ParallelPlan& plan, std::int64_t rank) {
  const RankCoordinates c = coordinates_of(plan, rank);
  std::int64_t gpu = 0, stride = 1;
  for (const Axis axis : plan.rank_order) {
    switch (axis) {
      case Axis::tp: gpu += c.tp * stride, stride *= plan.tp; break;
      case Axis::cp: gpu += c.cp * stride, stride *= plan.cp; break;
      case Axis::dp: gpu += c.dp * stride, stride *= plan.dp; break;
      case Axis::pp: gpu += c.pp * stride, stride *= plan.pp; break;
    }
  }
  return gpu;
}

GroupPlace tp_group(const ParallelPlan& plan, const ClusterSpec& cluster) {
  return place(plan, cluster, plan.tp, 1);
}
GroupPlace cp_group(const ParallelPlan& plan, const ClusterSpec& cluster) {
  return place(plan, cluster, plan.cp, plan.tp);
}
GroupPlace ep_group(const ParallelPlan& plan, const ClusterSpec& cluster) {
  return place(plan, cluster, plan.ranks_per_ep_group(), 1);
}
GroupPlace expert_tp_group(const ParallelPlan& plan, const ClusterSpec& cluster) {
  return place(plan, cluster, plan.expert_tp, 1);
}
std::int64_t ep_ranks_per_node(const ParallelPlan& plan, const ClusterSpec& cluster) {
  return std::max<std::int64_t>(
      1, std::min(plan.ranks_per_ep_group(), cluster.gpus_per_node) / plan.expert_tp);
}
GroupPlace dense_replicas(const ParallelPlan& plan, const ClusterSpec& cluster) {
  return place(plan, cluster, plan.dp * plan.cp, plan.tp);
}
GroupPlace expert_replicas(const ParallelPlan& plan, const ClusterSpec& cluster) {
  return place(plan, cluster, plan.num_ep_groups(), plan.ranks_per_ep_group());
}

bool pipeline_in_node(const ParallelPlan& plan, const ClusterSpec& cluster) {
  return place(plan, cluster, plan.pp, plan.ranks_per_stage()).per_node == plan.pp;
}

}  // namespace moesim
