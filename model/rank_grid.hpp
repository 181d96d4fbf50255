// Where ranks are: the coordinates of a rank in the plan's grids, and the GPU it runs on.
//
// A plan's rank order names the axes of the attention grid, fastest first; GPUs are numbered node
// by node, so the order decides which groups stay on a node's NVLink. Groups are placed by listing
// their members, so any order is exact; only the first group of a kind is listed, because all are
// translations of it when degrees and node sizes are whole multiples of each other, as they are for
// every plan that is not refused.
#pragma once

#include "model/parallel_plan.hpp"

namespace moesim {

struct RankCoordinates {
  std::int64_t pp = 0, dp = 0, cp = 0, tp = 0;
  std::int64_t ep_group = 0, ep_rank = 0, expert_tp = 0;
};
RankCoordinates coordinates_of(const ParallelPlan& plan, std::int64_t rank);

std::int64_t gpu_of(const ParallelPlan& plan, std::int64_t rank);

// A group of ranks as a collective sees it.
struct GroupPlace {
  std::int64_t ranks = 1;
  std::int64_t per_node = 1;  // of them in the fullest node
};
// Tensor-parallel, context-parallel and expert-parallel groups.
GroupPlace tp_group(const ParallelPlan& plan, const ClusterSpec& cluster);
GroupPlace cp_group(const ParallelPlan& plan, const ClusterSpec& cluster);
GroupPlace ep_group(const ParallelPlan& plan, const ClusterSpec& cluster);
// The neighbours that share an expert's matrices.
GroupPlace expert_tp_group(const ParallelPlan& plan, const ClusterSpec& cluster);
// Expert-parallel ranks on a node, those that share an expert's matrices counted once: what
// node-limited routing counts.
std::int64_t ep_ranks_per_node(const ParallelPlan& plan, const ClusterSpec& cluster);
// The ranks of a stage that hold the same parameter: of a dense one (dp x cp), of an expert's.
GroupPlace dense_replicas(const ParallelPlan& plan, const ClusterSpec& cluster);
GroupPlace expert_replicas(const ParallelPlan& plan, const ClusterSpec& cluster);
// True when every pipeline message stays on its node.
bool pipeline_in_node(const ParallelPlan& plan, const ClusterSpec& cluster);

}  // namespace moesim
