#include "model/parallel_plan.hpp"

#include <algorithm>

#include "model/model_counts.hpp"

namespace moesim {
namespace {

// Forward FLOPs of the parts of a stage, relative units, for balancing only.
struct StageWeights {
  double dense, moe, tail;
};
StageWeights stage_weights(const ModelSpec& m, std::int64_t seq_len) {
  const double attention =
      2.0 * static_cast<double>(attention_parameters(m)) +
      static_cast<double>(seq_len * m.num_heads * (m.head_dim + m.value_head_dim()));
  const double head = 2.0 * static_cast<double>(m.vocab * m.hidden);
  const double moe =
      m.moe
          ? attention + 2.0 * static_cast<double>(m.moe->top_k * expert_parameters(m) +
                                                  shared_expert_parameters(m) + gate_parameters(m))
          : 0;
  const double dense = attention + 2.0 * static_cast<double>(dense_ffn_parameters(m));
  const double extra =
      static_cast<double>(m.num_mtp_modules) *
      ((m.moe ? moe : dense) + head + 2.0 * static_cast<double>(mtp_projection_parameters(m)));
  return {dense, moe, head + extra};
}

}  // namespace

std::vector<std::int64_t> balanced_layers_per_stage(const ModelSpec& model,
                                                    std::int64_t num_stages,
                                                    std::int64_t seq_len) {
  const StageWeights w = stage_weights(model, seq_len);
  const auto layers = static_cast<std::size_t>(model.num_layers),
             stages = static_cast<std::size_t>(num_stages);
  auto weight = [&](std::size_t i) { return model.layer_is_moe[i] ? w.moe : w.dense; };
  // Dynamic programme over (stage, layers placed): smallest possible largest stage; at least one
  // layer a stage.
  std::vector<std::vector<double>> best(stages + 1, std::vector<double>(layers + 1, 1e300));
  std::vector<std::vector<std::size_t>> from(stages + 1, std::vector<std::size_t>(layers + 1, 0));
  best[0][0] = 0;
  for (std::size_t st = 1; st <= stages; ++st)
    for (std::size_t end = st; end <= layers; ++end) {
      double sum = st == stages ? w.tail : 0;
      for (std::size_t begin = end; begin-- > st - 1;) {
        sum += weight(begin);
        const double candidate = std::max(best[st - 1][begin], sum);
        if (candidate < best[st][end]) {
          best[st][end] = candidate;
          from[st][end] = begin;
        }
      }
    }
  std::vector<std::int64_t> counts(stages);
  for (std::size_t st = stages, end = layers; st > 0; --st) {
    counts[st - 1] = static_cast<std::int64_t>(end - from[st][end]);
    end = from[st][end];
  }
  return counts;
}

std::int64_t local_experts(const ModelSpec& model, const ParallelPlan& plan) {
  return model.moe ? (model.moe->num_experts + plan.placement.redundant_experts) / plan.ep : 0;
}

ChunkShape chunk_shape(const ModelSpec& model, const ParallelPlan& plan, std::int64_t seq_len) {
  ChunkShape shape;
  shape.sequences = plan.microbatch;
  shape.tokens = plan.microbatch * seq_len / plan.cp;
  shape.context = seq_len;
  shape.cp = plan.cp;
  shape.local_experts = local_experts(model, plan);
  shape.recipe = plan.recipe;
  shape.tp = plan.tp;
  shape.sequence_parallel = plan.sequence_parallel;
  shape.expert_tp = plan.expert_tp;
  shape.cp_method = plan.cp_method;
  shape.recompute = plan.recompute;
  return shape;
}

std::vector<std::vector<LayerKind>> stage_layers(const ParallelPlan& plan, const ModelSpec& model) {
  std::vector<std::vector<LayerKind>> stages;
  if (plan.schedule == ScheduleKind::overlapped_pair) {  // the model's last layers only, no ends
    const LayerKind kind = model.layer_is_moe.back() ? LayerKind::moe : LayerKind::dense;
    return {std::vector<LayerKind>(static_cast<std::size_t>(plan.layers_per_stage[0]), kind)};
  }
  const std::int64_t num_stages = plan.layout().num_stages();
  std::size_t layer = 0;
  for (std::int64_t st = 0; st < num_stages; ++st) {
    std::vector<LayerKind> kinds;
    if (st == 0) kinds.push_back(LayerKind::embedding);
    for (std::int64_t i = 0; i < plan.layers_per_stage[static_cast<std::size_t>(st)]; ++i, ++layer)
      kinds.push_back(model.layer_is_moe[layer] ? LayerKind::moe : LayerKind::dense);
    if (st == num_stages - 1) {
      kinds.push_back(LayerKind::head);
      for (std::int64_t i = 0; i < model.num_mtp_modules; ++i) {
        kinds.push_back(LayerKind::mtp_projection);
        kinds.push_back(model.moe ? LayerKind::moe : LayerKind::dense);
        kinds.push_back(LayerKind::head);
      }
    }
    stages.push_back(std::move(kinds));
  }
  return stages;
}

}  // namespace moesim
