// What a rank's memory holds in training, by category, for each pipeline rank.
//
// Sources: weights, gradients, master weights and moments as DeepSeek-V3 trains (section 3.3.3:
// FP32 master weights and gradients, BF16 moments; ZeRO-1 shards master weights and moments over
// data-parallel replicas); saved activations by counting what the backward pass of model/op_graph
// reads and does not recompute.
//
// Left out: allocator fragmentation, CUDA context and NCCL buffers, which no document states for
// these runs; the report shows what is left of the GPU's memory for them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model_spec.hpp"
#include "model/op_graph.hpp"
#include "model/parallel_plan.hpp"

namespace moesim {

struct MemoryPart {
  std::string key;  // "weights_bytes"
  std::string title;
  Bytes bytes;
};

struct RankMemory {
  std::int64_t pp_rank = 0;
  std::vector<MemoryPart> parts;
  Bytes total() const;
};

// Parameters one rank holds of one stage.
struct StageParameters {
  double expert = 0, other = 0;  // routed experts placed on the rank; everything else
};
StageParameters stage_parameters(const ModelSpec& model,
                                 const std::vector<LayerKind>& layers,
                                 std::int64_t local_experts);

// Bytes saved by one layer's forward pass for its backward pass.
Bytes saved_activation_bytes(const ModelSpec& model,
                             LayerKind kind,
                             const ChunkShape& shape,
                             const RankLoad& load);

// Saved by one chunk of a stage.
Bytes chunk_activation_bytes(const ModelSpec& model,
                             const std::vector<LayerKind>& layers,
                             const ChunkShape& shape,
                             const RankLoad& load);

// Memory of one pipeline rank that holds `stages`; `activations`: what its schedule keeps alive at
// its worst moment.
RankMemory training_memory(const ModelSpec& model,
                           const ParallelPlan& plan,
                           const ChunkShape& shape,
                           const RankLoad& load,
                           std::int64_t pp_rank,
                           const std::vector<std::int64_t>& stages,
                           Bytes activations);

}  // namespace moesim
