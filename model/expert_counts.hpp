// How often each expert was chosen, as inference engines record it to balance experts, made into
// relative loads. All counts of a layer are added up: over ranks, iterations and files.
//
//   SGLang, expert distribution recorder
//     until May 2025: expert_distribution_rank<r>_timestamp<t>.csv, one file a rank, with the
//       header layer_id,expert_id,count and only experts that were chosen. One file, or a folder of
//       them.
//     since: expert_distribution_recorder_<t>.pt (mode "stat"), a PyTorch pickle that holds
//       "logical_count" of [steps, layers, experts] with rows of 0 for dense layers. Its JSON form
//       is read here as SGLang reads it itself (--init-expert-location): {"logical_count": ...} of
//       [layers, experts] or [steps, layers, experts].
//   TensorRT-LLM, EXPERT_STATISTIC_ITER_RANGE (examples/ep_load_balancer)
//     a folder with meta_info.json {"num_experts": .., "num_experts_per_token": ..} and
//     rank<r>.safetensors, in which tensor "<iteration>_<layer>" holds the counts of [num_experts].
//   vLLM
//     keeps its expert load in memory and writes no file (its pull requests 19658, 26176 and 41141
//     proposed formats, none of them merged): a tensor taken from it is written in the JSON form.
//
// PyTorch pickles are not read: they are programs. The message says how to convert one. Counts of
// physical experts (replicas) are not read either; SGLang has already added them up.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "model/json_reader.hpp"
#include "model/popularity.hpp"

namespace moesim {

// Loads or counts of [num_experts] by layer.
using LayerLoads = std::map<std::int64_t, std::vector<double>>;

// Every layer scaled to mean 1. `place` is where the loads were read, for messages. Refuses a gap
// between layers and a layer in which no expert has any load.
LoadTable to_load_table(const LayerLoads& loads, const std::string& place);

// The JSON form. Rows of 0 before the first and after the last routed layer are dense layers.
LoadTable read_logical_count(const JsonNode& document, std::int64_t num_experts);

// A .csv file or a folder.
LoadTable read_expert_counts(const std::filesystem::path& path, std::int64_t num_experts);

}  // namespace moesim
