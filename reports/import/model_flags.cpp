#include "reports/import/model_flags.hpp"

#include "model/json_message.hpp"

namespace moesim {
namespace {

using Number = std::optional<std::int64_t>;

// What the model has under the name that config.json and the flag tables give it; nothing where it
// has no such thing, or the launcher counts it otherwise.
struct ModelNumber {
  const char* key;
  Number (*of)(const ModelSpec& model);
};

constexpr ModelNumber kNumbers[] = {
    {"num_hidden_layers", [](const ModelSpec& m) -> Number { return m.num_layers; }},
    {"hidden_size", [](const ModelSpec& m) -> Number { return m.hidden; }},
    {"vocab_size", [](const ModelSpec& m) -> Number { return m.vocab; }},
    {"num_attention_heads", [](const ModelSpec& m) -> Number { return m.num_heads; }},
    // Latent attention has no groups and no one head width.
    {"num_key_value_heads",
     [](const ModelSpec& m) { return m.latent ? Number() : Number(m.num_kv_heads); }},
    {"head_dim", [](const ModelSpec& m) { return m.latent ? Number() : Number(m.head_dim); }},
    // Where every layer has experts, the dense width is nowhere used.
    {"intermediate_size",
     [](const ModelSpec& m) {
       return m.num_moe_layers() == m.num_layers ? Number() : Number(m.dense_intermediate);
     }},
    {"num_experts", [](const ModelSpec& m) -> Number { return m.moe ? m.moe->num_experts : 0; }},
    {"num_experts_per_tok", [](const ModelSpec& m) -> Number { return m.moe ? m.moe->top_k : 0; }},
    {"moe_intermediate_size",
     [](const ModelSpec& m) -> Number { return m.moe ? m.moe->expert_intermediate : 0; }},
    {"shared_expert_intermediate_size",
     [](const ModelSpec& m) -> Number { return m.moe ? m.moe->shared_intermediate : 0; }},
    {"n_group", [](const ModelSpec& m) -> Number { return m.moe ? m.moe->num_groups : 0; }},
    {"topk_group", [](const ModelSpec& m) -> Number { return m.moe ? m.moe->max_groups : 0; }},
    {"q_lora_rank",
     [](const ModelSpec& m) -> Number { return m.latent ? m.latent->q_lora_rank : 0; }},
    {"kv_lora_rank",
     [](const ModelSpec& m) -> Number { return m.latent ? m.latent->kv_lora_rank : 0; }},
    {"qk_nope_head_dim",
     [](const ModelSpec& m) -> Number { return m.latent ? m.latent->qk_nope_head_dim : 0; }},
    {"qk_rope_head_dim",
     [](const ModelSpec& m) -> Number { return m.latent ? m.latent->qk_rope_head_dim : 0; }},
    {"v_head_dim",
     [](const ModelSpec& m) -> Number { return m.latent ? m.latent->v_head_dim : 0; }},
    {"num_nextn_predict_layers", [](const ModelSpec& m) -> Number { return m.num_mtp_modules; }},
};

}  // namespace

void check_model_flags(const LaunchArguments& arguments, const ModelSpec& model) {
  for (const LaunchArguments::Given& given : arguments.given()) {
    if (given.use != FlagUse::model) continue;
    for (const ModelNumber& number : kNumbers) {
      if (given.becomes != number.key) continue;
      const Number value = arguments.integer(given.flag, 0), expected = number.of(model);
      if (expected && value != expected)
        arguments.fail(given.flag,
                       "is " + std::to_string(*value) + ", but " + number.key + " of " +
                           one_line(model.name) + " is " + std::to_string(*expected));
    }
  }
}

}  // namespace moesim
