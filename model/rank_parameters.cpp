#include "model/rank_parameters.hpp"

#include <algorithm>

#include "model/model_counts.hpp"

namespace moesim {
namespace {

StageParameters of_layer(const ModelSpec& m, const ParallelPlan& plan, LayerKind kind) {
  const auto tp = static_cast<double>(plan.tp), expert_tp = static_cast<double>(plan.expert_tp);
  const auto hidden = static_cast<double>(m.hidden);
  const double every_layer =
      attention_parameters_of_rank(m, plan.tp) + static_cast<double>(layer_norm_parameters(m));
  StageParameters p;
  switch (kind) {
    case LayerKind::embedding: p.other = static_cast<double>(m.vocab) * hidden / tp; break;
    case LayerKind::head: p.other = hidden; break;  // its norm
    case LayerKind::mtp_projection: {
      const double norms = 2 * hidden;
      p.other = (static_cast<double>(mtp_projection_parameters(m)) - norms) / tp + norms;
      break;
    }
    case LayerKind::dense:
      p.other = every_layer + static_cast<double>(dense_ffn_parameters(m)) / tp;
      break;
    case LayerKind::moe: {
      p.other = every_layer + static_cast<double>(gate_parameters(m)) +
                static_cast<double>(shared_expert_parameters(m)) / tp;
      const double whole = m.expert_bias ? hidden : 0;  // the bias of an expert's result
      p.expert = static_cast<double>(local_experts(m, plan)) *
                 ((static_cast<double>(expert_parameters(m)) - whole) / expert_tp + whole);
      break;
    }
  }
  return p;
}

}  // namespace

double attention_parameters_of_rank(const ModelSpec& m, std::int64_t tp) {
  const auto all = static_cast<double>(attention_parameters(m));
  const auto hidden = static_cast<double>(m.hidden), ranks = static_cast<double>(tp);
  double whole = m.output_bias ? hidden : 0;
  double shared_kv = 0;  // key-value heads beyond one a rank's share
  if (m.latent) {
    whole += hidden * static_cast<double>(m.latent->q_lora_rank + m.latent->kv_lora_rank +
                                          m.latent->qk_rope_head_dim);
  } else {
    const double per_head = 2 * static_cast<double>(m.head_dim) * (hidden + (m.qkv_bias ? 1 : 0));
    const auto kv_heads = static_cast<double>(m.num_kv_heads);
    shared_kv = per_head * (std::max(1.0, kv_heads / ranks) - kv_heads / ranks);
  }
  return (all - whole) / ranks + whole + shared_kv;
}

std::vector<StageParameters> layer_parameters(const ModelSpec& m,
                                              const ParallelPlan& plan,
                                              const std::vector<LayerKind>& layers) {
  std::vector<StageParameters> list;
  bool has_matrix = m.tied_embeddings &&
                    std::find(layers.begin(), layers.end(), LayerKind::embedding) != layers.end();
  for (const LayerKind kind : layers) {
    list.push_back(of_layer(m, plan, kind));
    if (kind != LayerKind::head || has_matrix) continue;
    has_matrix = true;
    list.back().other += static_cast<double>(m.vocab * m.hidden) / static_cast<double>(plan.tp);
  }
  return list;
}

StageParameters stage_parameters(const ModelSpec& m,
                                 const ParallelPlan& plan,
                                 const std::vector<LayerKind>& layers) {
  StageParameters sum;
  for (const StageParameters& p : layer_parameters(m, plan, layers)) sum += p;
  return sum;
}

std::int64_t num_dense_replicas(const ParallelPlan& plan) {
  return plan.dp * plan.cp * plan.layout().copies();
}
std::int64_t num_expert_replicas(const ParallelPlan& plan) {
  return plan.num_ep_groups() * plan.layout().copies();
}

double shard_of(const ParallelPlan& plan, const StageParameters& p) {
  return p.other / static_cast<double>(num_dense_replicas(plan)) +
         p.expert / static_cast<double>(num_expert_replicas(plan));
}

ModelState model_state(const ParallelPlan& plan, const StageParameters& p) {
  const double shard = shard_of(plan, p);
  auto kept = [&](std::int64_t sharded_from) {
    return plan.zero_stage >= sharded_from ? shard : p.local();
  };
  constexpr std::int64_t kOptimizer = 1, kGradients = 2, kWeights = 3;
  ModelState state;
  state.weights = 2 * kept(kWeights) * B;
  if (is_fp8(plan.recipe)) state.fp8_weights = kept(kWeights) * B;
  state.gradients = plan.gradient_bytes * kept(kGradients) * B;
  state.master_weights = 4 * kept(kOptimizer) * B;
  state.moments = 2 * plan.moment_bytes * kept(kOptimizer) * B;
  return state;
}

}  // namespace moesim
