// The parallel plan: how a model and a batch are laid out over ranks.
//
// Degrees: tp x cp x dp x pp ranks. Experts are spread over ep ranks of one pipeline stage; ep x
// (expert replicas) = tp x cp x dp. Ranks are numbered with pp slowest, then dp, cp and tp fastest,
// so the ranks of one stage are neighbours and an expert-parallel group of 64 fills 8 whole nodes
// of 8. A plan that does not multiply out is an InputError that shows the arithmetic; a plan that
// does not fit in memory is a result.
//
// Left out: tp > 1, micro-batches of several sequences, interleaved stages.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/cluster_spec.hpp"
#include "model/json_reader.hpp"
#include "model/model_spec.hpp"
#include "model/op_graph.hpp"
#include "model/placement/placement.hpp"

namespace moesim {

enum class ScheduleKind { one_f_one_b, dualpipe, overlapped_pair };

struct ParallelPlan {
  std::int64_t tp = 1, cp = 1, pp = 1, dp = 1, ep = 1;
  ScheduleKind schedule = ScheduleKind::dualpipe;
  // Used where a batch is too small for `schedule` (DualPipe needs 2 pp microbatches); same choice
  // when unset.
  ScheduleKind fallback_schedule = ScheduleKind::dualpipe;
  std::int64_t comm_sms = 0;  // SMs given to communication kernels in training
  Recipe recipe = Recipe::fp8_block;
  std::vector<std::int64_t> layers_per_stage;  // [pp] transformer layers of the main model; MTP and
                                               // head go to the last stage
  double moment_bytes = 4;                     // of each of Adam's two moments
  PlacementSpec placement;                     // of experts on the ranks of a group
  std::string explain_layers;  // where layers_per_stage came from: "given" or "balanced"

  std::int64_t world() const { return tp * cp * pp * dp; }
  std::int64_t ranks_per_stage() const { return tp * cp * dp; }
  std::int64_t num_ep_groups() const { return ranks_per_stage() / ep; }  // per stage
  bool two_stages_per_rank() const { return schedule == ScheduleKind::dualpipe && pp > 1; }
};

// A rank's coordinates.
struct RankCoordinates {
  std::int64_t pp = 0, dp = 0, cp = 0, ep_group = 0, ep_rank = 0;
};
RankCoordinates coordinates_of(const ParallelPlan& plan, std::int64_t rank);

// Reads a plan and checks it against the model and the cluster.
ParallelPlan read_parallel_plan(const JsonNode& node,
                                const ModelSpec& model,
                                const ClusterSpec& cluster);

// Experts placed on one rank, redundant ones included.
std::int64_t local_experts(const ModelSpec& model, const ParallelPlan& plan);

// One microbatch (a sequence) on one rank of this plan.
ChunkShape chunk_shape(const ModelSpec& model, const ParallelPlan& plan, std::int64_t seq_len);

// What each pipeline stage consists of, in forward order: [pp][...]. The embedding opens stage 0;
// the last stage closes with the head and, for each MTP module, projection, one more layer and one
// more pass of the head (V3, section 2.2).
std::vector<std::vector<LayerKind>> stage_layers(const ParallelPlan& plan, const ModelSpec& model);

// Splits the layers so that the largest stage, counted in forward FLOPs with head and MTP, is as
// small as it can be.
std::vector<std::int64_t> balanced_layers_per_stage(const ModelSpec& model,
                                                    std::int64_t pp,
                                                    std::int64_t seq_len);

const char* schedule_name(ScheduleKind kind);

}  // namespace moesim
