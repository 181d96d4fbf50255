// What a rank's memory holds in training, by category, for each pipeline rank.
//
// Sources: weights, gradients, master weights and moments as DeepSeek-V3 trains (section 3.3.3:
// FP32 master weights and gradients, BF16 moments), sharded by the plan's ZeRO stage
// (model/rank_parameters); saved activations by counting what the backward pass of model/op_graph
// reads and does not recompute. From ZeRO 2 on, a bucket of gradients is filled while another one
// travels; under ZeRO 3 a layer's weights are whole while it runs, those of the next one beside
// them where they are gathered ahead.
//
// Allocator fragmentation, CUDA context and NCCL buffers are counted where the plan states them
// ("overheads") and are 0 else, because no document gives them; the report then says so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model_spec.hpp"
#include "model/op_graph.hpp"
#include "model/parallel_plan.hpp"
#include "model/rank_parameters.hpp"

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
