// The parallel plan: how a model and a batch are laid out over ranks.
//
// Degrees: tp x cp x dp x pp ranks for attention and dense layers. Experts are laid out over the
// same ranks of a pipeline stage in a grid of their own (what Megatron calls folding): expert_tp x
// ep x (expert replicas) = tp x cp x dp. Ranks are numbered with pp slowest, then dp, cp and tp
// fastest, so the ranks of one stage are neighbours, and an expert-parallel group is the next
// expert_tp x ep of them. Which GPU a rank runs on is the plan's rank order (model/rank_grid). A
// plan that does not multiply out is an InputError that shows the arithmetic; a plan that does not
// fit in memory is a result.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/cluster_spec.hpp"
#include "model/json_reader.hpp"
#include "model/model_spec.hpp"
#include "model/op_graph.hpp"
#include "model/overlap_order.hpp"
#include "model/pipeline_layout.hpp"
#include "model/placement/placement.hpp"

namespace moesim {

enum class Axis : std::uint8_t { tp, cp, dp, pp };

// What a framework holds beside what the model needs, as stated by whoever measured it.
struct Overheads {
  Bytes cuda_context, nccl_buffers;
  double fragmentation = 0;  // of everything the framework's allocator hands out
};

struct ParallelPlan {
  std::int64_t tp = 1, cp = 1, pp = 1, dp = 1, ep = 1;
  std::int64_t expert_tp = 1;      // ranks that share one expert's matrices
  bool sequence_parallel = false;  // norms and residuals on 1/tp of the tokens (Korthikanti et al.)
  ContextMethod cp_method = ContextMethod::all_gather;
  std::array<Axis, 4> rank_order = {Axis::tp, Axis::cp, Axis::dp, Axis::pp};  // fastest first

  ScheduleKind schedule = ScheduleKind::dualpipe;
  // Used where a batch is too small for `schedule` (DualPipe needs 2 pp microbatches); same choice
  // when unset.
  ScheduleKind fallback_schedule = ScheduleKind::dualpipe;
  std::int64_t virtual_stages = 1;   // parts of a rank under interleaved 1F1B
  bool overlap_expert_comm = false;  // a schedule that overlaps nothing by itself pairs forward and
                                     // backward steps, so that dispatch and combine run beside them
  OverlapOrder overlap_order = kTraceOrder;  // of the blocks in such a pair
  std::int64_t microbatch = 1;               // sequences

  std::int64_t comm_sms = 0;  // SMs given to communication kernels in training
  Recipe recipe = Recipe::fp8_block;
  Recompute recompute;
  std::vector<std::int64_t> layers_per_stage;  // [stages] transformer layers of the main model; MTP
                                               // and head go to the last stage
  std::string explain_layers;  // where layers_per_stage came from: "given" or "balanced"

  // Data parallelism (Rajbhandari et al. 2020): what is sharded over the replicas of a parameter.
  // 0 nothing, 1 optimizer state, 2 gradients too, 3 weights too (FSDP).
  std::int64_t zero_stage = 1;
  bool overlap_grad_reduce = false;   // buckets are reduced while the backward pass goes on
  bool overlap_param_gather = false;  // weights are gathered while the next forward pass begins
  Bytes gradient_bucket = 160e6 * B;  // FP32; Megatron-Core's default is 40M parameters
  double gradient_bytes = 4, moment_bytes = 4;  // of a gradient; of each of Adam's two moments
  std::optional<Overheads> overheads;           // not counted where no one states them
  PlacementSpec placement;                      // of experts on the ranks of a group

  std::int64_t world() const { return tp * cp * pp * dp; }
  std::int64_t ranks_per_stage() const { return tp * cp * dp; }
  std::int64_t ranks_per_ep_group() const { return ep * expert_tp; }
  std::int64_t num_ep_groups() const {  // per stage
    return ranks_per_stage() / ranks_per_ep_group();
  }
  PipelineLayout layout() const { return pipeline_layout(schedule, pp, virtual_stages); }
  // Forward and backward chunks share the GPU at some time of a step.
  bool overlaps() const {
    return traits_of(schedule).overlap == Overlap::by_itself || overlap_expert_comm;
  }
};

// Reads a plan and checks it against the model and the cluster (read_parallel_plan.cpp).
ParallelPlan read_parallel_plan(const JsonNode& node,
                                const ModelSpec& model,
                                const ClusterSpec& cluster);

// Microbatches a pipeline runs in a step of `batch` sequences.
inline std::int64_t num_microbatches(const ParallelPlan& plan, std::int64_t batch) {
  return batch / (plan.dp * plan.microbatch);
}

// Experts placed on one rank, redundant ones included.
std::int64_t local_experts(const ModelSpec& model, const ParallelPlan& plan);

// One microbatch on one rank of this plan.
ChunkShape chunk_shape(const ModelSpec& model, const ParallelPlan& plan, std::int64_t seq_len);

// What each pipeline stage consists of, in forward order: [stages][...]. The embedding opens stage
// 0; the last stage closes with the head and, for each MTP module, projection, one more layer and
// one more pass of the head (V3, section 2.2).
std::vector<std::vector<LayerKind>> stage_layers(const ParallelPlan& plan, const ModelSpec& model);

// Splits the layers over `stages` so that the largest stage, counted in forward FLOPs with head and
// MTP, is as small as it can be.
std::vector<std::int64_t> balanced_layers_per_stage(const ModelSpec& model,
                                                    std::int64_t stages,
                                                    std::int64_t seq_len);

}  // namespace moesim
