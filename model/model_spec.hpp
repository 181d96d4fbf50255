// What a model is made of, read from its own Hugging Face `config.json`, as it is.
//
// Families read: DeepSeek (deepseek, deepseek_v2, deepseek_v3), Kimi (kimi_k2), Qwen (qwen2, qwen3,
// qwen3_moe), Mixtral, gpt-oss, Llama and Mistral. One word has several keys between families
// (experts: n_routed_experts, num_experts, num_local_experts); the aliases are one table in
// model_spec.cpp. A key that matters and is missing is an error that names it: there are no
// defaults for sizes. Unknown keys are ignored, because a published config carries dozens that say
// nothing about cost (dropout, token ids, rope tables).
//
// Left out: vision towers, linear-attention and state-space layers, multi-query speculative heads
// other than MTP.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/json_reader.hpp"

namespace moesim {

// Multi-head latent attention (DeepSeek-V2, section 2.1): keys and values are rebuilt from a latent
// of kv_lora_rank, and one rotary key of qk_rope_head_dim is shared by all heads.
struct LatentAttention {
  std::int64_t q_lora_rank = 0;  // 0: queries are not compressed (V2-Lite)
  std::int64_t kv_lora_rank = 0;
  std::int64_t qk_nope_head_dim = 0;
  std::int64_t qk_rope_head_dim = 0;
  std::int64_t v_head_dim = 0;
};

// What a gate turns logits into, and what a group of experts is chosen by (model/gate.hpp).
enum class ScoreFunction { softmax, sigmoid };
enum class GroupScore { best_expert, sum_of_best };

struct MoeSpec {
  std::int64_t num_experts = 0;          // routed experts of one layer
  std::int64_t top_k = 0;                // routed experts a token visits
  std::int64_t expert_intermediate = 0;  // width of one routed expert
  std::int64_t shared_intermediate = 0;  // width of all shared experts together; 0: none
  std::int64_t num_groups = 1;           // expert groups (a group is placed on one node)
  std::int64_t max_groups = 1;           // groups a token may visit
  GroupScore group_score = GroupScore::sum_of_best;
  ScoreFunction score = ScoreFunction::softmax;
  bool renormalise = false;  // the weights of a token's experts are divided by their sum
  double routed_scale = 1;   // and multiplied by this

  bool operator==(const MoeSpec&) const = default;
};

struct ModelSpec {
  std::string name;        // file stem
  std::string model_type;  // as in the config
  std::int64_t num_layers = 0;
  std::int64_t hidden = 0;
  std::int64_t vocab = 0;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;            // of one query head; nope + rope for latent attention
  std::int64_t dense_intermediate = 0;  // width of a dense feed-forward layer
  std::optional<LatentAttention> latent;
  std::optional<MoeSpec> moe;
  std::vector<bool> layer_is_moe;              // [num_layers]
  std::vector<std::int64_t> attention_window;  // [num_layers]; 0: full attention
  std::int64_t num_mtp_modules = 0;            // multi-token prediction modules (V3, section 2.2)
  bool tied_embeddings = false;
  bool qkv_bias = false;     // biases on the query, key and value projections
  bool output_bias = false;  // bias on the attention output projection
  bool expert_bias = false;  // biases inside the routed experts and on the gate
  bool qk_norm = false;      // RMSNorm on each query and key head
  bool attention_sinks = false;

  std::int64_t num_moe_layers() const;
  // Width of a value head; equals head_dim without latent attention.
  std::int64_t value_head_dim() const { return latent ? latent->v_head_dim : head_dim; }
};

ModelSpec read_model_spec(const std::filesystem::path& config_json);
ModelSpec read_model_spec(const JsonNode& config, const std::string& name);

}  // namespace moesim
