#include "model/training_memory.hpp"

#include <algorithm>

#include "model/model_counts.hpp"
#include "model/saved_tensors.hpp"

namespace moesim {

Bytes RankMemory::total() const {
  Bytes sum;
  for (const MemoryPart& part : parts) sum += part.bytes;
  return sum;
}

StageParameters stage_parameters(const ModelSpec& m,
                                 const std::vector<LayerKind>& layers,
                                 std::int64_t local_experts) {
  StageParameters p;
  for (const LayerKind kind : layers) {
    switch (kind) {
      case LayerKind::embedding: p.other += static_cast<double>(m.vocab * m.hidden); break;
      case LayerKind::head:
        p.other += static_cast<double>(m.hidden);
        break;  // final norm; the matrix is added once below
      case LayerKind::mtp_projection:
        p.other += static_cast<double>(mtp_projection_parameters(m));
        break;
      case LayerKind::dense:
        p.other += static_cast<double>(attention_parameters(m) + layer_norm_parameters(m) +
                                       dense_ffn_parameters(m));
        break;
      case LayerKind::moe:
        p.other += static_cast<double>(attention_parameters(m) + layer_norm_parameters(m) +
                                       gate_parameters(m) + shared_expert_parameters(m));
        p.expert += static_cast<double>(local_experts) * static_cast<double>(expert_parameters(m));
        break;
    }
  }
  // The head's matrix is held once however often it is used (MTP modules share it).
  if (std::find(layers.begin(), layers.end(), LayerKind::head) != layers.end())
    p.other += static_cast<double>(m.vocab * m.hidden);
  return p;
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
  for (const std::int64_t st : stages) {
    const StageParameters p =
        stage_parameters(m, layers[static_cast<std::size_t>(st)], s.local_experts);
    params.expert += p.expert;
    params.other += p.other;
  }
  const double local = params.expert + params.other;
  const auto copies = static_cast<double>(
      stages.size());  // a stage held twice has twice the replicas to shard over
  const double sharded = params.other / (static_cast<double>(plan.dp * plan.cp) * copies) +
                         params.expert / (static_cast<double>(plan.num_ep_groups()) * copies);
  const double tokens = static_cast<double>(s.tokens),
               row = 2.0 * static_cast<double>(m.hidden);  // one BF16 row
  RankMemory memory;
  memory.pp_rank = pp_rank;
  memory.parts = {
      {"weights_bytes", "weights (BF16)", 2 * local * B},
      {"fp8_weights_bytes", "FP8 weight copies", (is_fp8(plan.recipe) ? local : 0) * B},
      {"gradients_bytes", "gradients (FP32)", 4 * local * B},
      {"master_weights_bytes", "master weights", 4 * sharded * B},
      {"moments_bytes", "moments", 2 * plan.moment_bytes * sharded * B},
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
           tokens * static_cast<double>(m.num_heads * (3 * m.head_dim + 3 * m.value_head_dim())) *
               2 * B},
  };
  return memory;
}

}  // namespace moesim
