// Parameters that one rank holds, and the bytes that it keeps for them under ZeRO.
//
// Tensor parallelism divides attention by heads, dense and shared feed-forward layers by width,
// embedding and head by vocabulary (Megatron-LM: Shoeybi et al. 2019; Narayanan et al. 2021,
// section 2.3). Every tensor-parallel rank holds norms, the gate, output biases and the latent
// down-projections of MLA in full, and a key-value head that there are too few of to go round.
// Experts are divided by expert_tp and have replicas of their own.
//
// ZeRO (Rajbhandari et al. 2020, section 3 and Figure 1; FSDP: Zhao et al. 2023) shards over the
// ranks that hold the same parameter: stage 1 the optimizer's state, stage 2 the gradients too,
// stage 3 the weights too. With their mixed-precision Adam (BF16 weights and gradients, FP32 master
// weight and moments) a parameter's 2 + 2 + 12 bytes become 2 + 2 + 12/N, 2 + 14/N and 16/N.
//
// Tied embeddings are held once on a stage that has both ends of the model, and by either end where
// these are two stages. Left out: adding up those two copies' gradients, and over tp ranks the
// gradients of what they hold in full under sequence parallelism.
#pragma once

#include <cstdint>
#include <vector>

#include "model/parallel_plan.hpp"

namespace moesim {

struct StageParameters {
  double expert = 0, other = 0;  // routed experts placed on the rank; everything else
  double local() const { return expert + other; }
  StageParameters& operator+=(const StageParameters& o) {
    expert += o.expert;
    other += o.other;
    return *this;
  }
};

// Of each layer of a stage. A head's matrix is held once however often it is used (MTP modules
// share it): it is counted at the stage's first head, whose gradient is the last one ready.
std::vector<StageParameters> layer_parameters(const ModelSpec& model,
                                              const ParallelPlan& plan,
                                              const std::vector<LayerKind>& layers);
StageParameters stage_parameters(const ModelSpec& model,
                                 const ParallelPlan& plan,
                                 const std::vector<LayerKind>& layers);

// Of one layer's attention, norms excluded, on one of `tp` ranks.
double attention_parameters_of_rank(const ModelSpec& model, std::int64_t tp);

// How many ranks hold the same parameter, those that a bidirectional schedule adds included.
std::int64_t num_dense_replicas(const ParallelPlan& plan);
std::int64_t num_expert_replicas(const ParallelPlan& plan);
// A rank's share of its parameters when they are spread evenly over their replicas.
double shard_of(const ParallelPlan& plan, const StageParameters& parameters);

// Bytes of model state on one rank, by ZeRO stage. FP8 weights are a copy beside the BF16 ones.
struct ModelState {
  Bytes weights, fp8_weights, gradients, master_weights, moments;
  Bytes total() const { return weights + fp8_weights + gradients + master_weights + moments; }
};
ModelState model_state(const ParallelPlan& plan, const StageParameters& parameters);

}  // namespace moesim
