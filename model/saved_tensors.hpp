// What a layer's forward pass keeps for its backward pass, tensor by tensor, on one rank: what
// model/op_graph's backward blocks read and do not recompute.
//
//   norm off                  both norms' outputs are kept beside their inputs
//   latent_up_projection off  Q, K and V are kept beside the latents
//   swiglu off                the activation is kept beside gate and up
//   core_attention on         the log-sum-exp is not kept; the output is, because the output
//                             projection's weight gradient reads it (Megatron-Core recomputes the
//                             core, not what its neighbour saved)
//   whole_layer               the layer's input alone. While its backward runs, the tensors of the
//                             same shape without recomputation are alive for that one layer.
// With sequence parallelism inputs of norms and latents are of the own tokens (Korthikanti et al.
// 2022, arXiv 2205.05198, section 4.2); results of cut products are 1/tp wide.
//
// Left out: dropout masks, permutation maps and top-k indices (a few bytes a token).
#pragma once

#include <string_view>
#include <vector>

#include "model/model_spec.hpp"
#include "model/op_graph.hpp"

namespace moesim {

struct SavedTensor {
  std::string_view name;
  Bytes bytes;
};

// `load` matters to MoE layers only.
std::vector<SavedTensor> saved_tensors(const ModelSpec& model,
                                       LayerKind kind,
                                       const ChunkShape& shape,
                                       const RankLoad& load);

}  // namespace moesim
