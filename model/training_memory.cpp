#include "model/training_memory.hpp"

#include <algorithm>

#include "model/saved_tensors.hpp"

namespace moesim {
namespace {

// A bucket that is filled while another one travels, of dense and of expert gradients.
Bytes bucket_buffers(const ParallelPlan& plan, const StageParameters& p) {
  Bytes sum;
  for (const double parameters : {p.other, p.expert})
    sum += std::min(2 * plan.gradient_bucket, plan.gradient_bytes * parameters * B);
  return sum;
}

// Weights that are whole for a while: of the layer that runs (of two, where a forward and a
// backward chunk share the GPU), and of the next one.
Bytes gathered_weights(const ParallelPlan& plan, double largest_layer) {
  const double layers = (plan.overlaps() ? 2 : 1) + (plan.overlap_param_gather ? 1 : 0);
  return layers * (is_fp8(plan.recipe) ? 3 : 2) * largest_layer * B;
}

// What the plan says a framework holds beside all this.
void add_overheads(const Overheads& overheads, RankMemory& memory) {
  const Bytes allocated = memory.total();
  memory.parts.push_back({"cuda_context_bytes", "CUDA context", overheads.cuda_context});
  memory.parts.push_back({"nccl_buffers_bytes", "NCCL buffers", overheads.nccl_buffers});
  memory.parts.push_back(
      {"fragmentation_bytes", "fragmentation", overheads.fragmentation * allocated});
}

}  // namespace

Bytes RankMemory::total() const {
  Bytes sum;
  for (const MemoryPart& part : parts) sum += part.bytes;
  return sum;
}

Bytes saved_activation_bytes(const ModelSpec& m,
                             LayerKind kind,
                             const ChunkShape& s,
                             const RankLoad& load) {
  Bytes sum;
  for (const SavedTensor& tensor : saved_tensors(m, kind, s, load)) sum += tensor.bytes;
  return sum;
}

Bytes chunk_activation_bytes(const ModelSpec& m,
                             const std::vector<LayerKind>& layers,
                             const ChunkShape& s,
                             const RankLoad& load) {
  Bytes sum;
  for (const LayerKind kind : layers) sum += saved_activation_bytes(m, kind, s, load);
  return sum;
}

RankMemory training_memory(const ModelSpec& m,
                           const ParallelPlan& plan,
                           const ChunkShape& s,
                           const RankLoad& load,
                           std::int64_t pp_rank,
                           const std::vector<std::int64_t>& stages,
                           Bytes activations) {
  const auto layers = stage_layers(plan, m);
  StageParameters params;
  double largest_layer = 0;
  for (const std::int64_t st : stages)
    for (const StageParameters& p :
         layer_parameters(m, plan, layers[static_cast<std::size_t>(st)])) {
      params += p;
      largest_layer = std::max(largest_layer, p.local());
    }
  const ModelState state = model_state(plan, params);
  const double tokens = static_cast<double>(s.tokens),
               row = 2.0 * static_cast<double>(m.hidden);  // one BF16 row
  RankMemory memory;
  memory.pp_rank = pp_rank;
  memory.parts = {
      {"weights_bytes", "weights (BF16)", state.weights},
      {"fp8_weights_bytes", "FP8 weight copies", state.fp8_weights},
      {"gradients_bytes",
       plan.gradient_bytes == 2 ? "gradients (BF16)" : "gradients (FP32)",
       state.gradients},
      {"master_weights_bytes", "master weights", state.master_weights},
      {"moments_bytes", "moments", state.moments},
      {"activations_bytes", "activations", activations},
      // Dispatched and combined rows of one layer of each of two overlapped chunks, and two
      // pipeline messages each way.
      {"comm_buffers_bytes",
       "comm buffers",
       ((m.moe && plan.ep > 1 ? 4.0 * static_cast<double>(load.tokens_received) * row : 0) +
        4 * tokens * row) *
           B},
      // Operands and results of the running layer: expert rows in and out, gate-up and its
      // gradient; Q, K, V and theirs.
      {"workspace_bytes",
       "workspace",
       (m.moe ? static_cast<double>(load.padded_rows) *
                    (2 * row + 12.0 * static_cast<double>(m.moe->expert_intermediate))
              : 0) *
               B +
           tokens *
               static_cast<double>(m.num_heads / plan.tp *
                                   (3 * m.head_dim + 3 * m.value_head_dim())) *
               2 * B},
  };
  if (plan.zero_stage >= 2)
    memory.parts.push_back(
        {"bucket_buffers_bytes", "gradient buckets", bucket_buffers(plan, params)});
  if (plan.zero_stage == 3)
    memory.parts.push_back(
        {"gathered_weights_bytes", "gathered weights", gathered_weights(plan, largest_layer)});
  if (plan.overheads) add_overheads(*plan.overheads, memory);
  return memory;
}

}  // namespace moesim
