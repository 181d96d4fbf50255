// How Megatron cuts a model into pipeline stages, as transformer layers of each stage in forward
// order: stage = part x pp + rank (Narayanan et al., SC'21, section 2.2).
//
// Sources: Megatron-Core developer guide, "Custom Pipeline Model Parallel Layout"; the help texts
// of --decoder-first-pipeline-num-layers and its neighbours.
#pragma once

#include <optional>
#include <vector>

#include "reports/import/launcher.hpp"

namespace moesim {

struct MegatronLayers {
  std::int64_t virtual_stages = 1;
  std::vector<std::int64_t> per_stage;  // [pp x virtual_stages]; empty: the arguments do not say
};

// `num_layers`: of the model, when known. Warnings and arithmetic go to `plan`.
MegatronLayers megatron_layers(LaunchArguments& arguments,
                               std::int64_t pp,
                               std::optional<std::int64_t> num_layers,
                               LaunchPlan& plan);

}  // namespace moesim
