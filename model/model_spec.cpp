#include "model/model_spec.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"
#include "model/json_message.hpp"

namespace moesim {
namespace {

// Sizes past these are typing errors. Published are 1,000 layers (DeepNet, arXiv 2203.00555), 2,048
// experts a layer (Switch Transformer, arXiv 2101.03961) and 1e12 parameters (Kimi K2); at 1e15
// products of widths are still far from leaving 64 bits.
constexpr std::int64_t kMaxWidth = 1 << 24;
constexpr std::int64_t kMaxLayers = 1024;
constexpr std::int64_t kMaxExperts = 16'384;
constexpr std::int64_t kMaxTopK = 512;
constexpr double kMaxParameters = 1e15;

// One meaning, several spellings. The first is DeepSeek's.
const std::vector<std::string> kNumExpertsKeys = {
    "n_routed_experts", "num_experts", "num_local_experts", "num_routed_experts"};
const std::vector<std::string> kTopKKeys = {
    "num_experts_per_tok", "num_experts_per_token", "experts_per_token"};

enum class Family { deepseek_v1, deepseek_mla, qwen_moe, mixtral, gpt_oss, dense };

struct FamilyRow {
  const char* model_type;
  Family family;
  bool qkv_bias;  // the family's attention has QKV biases whatever `attention_bias` says
  bool qk_norm;
};
constexpr FamilyRow kFamilies[] = {
    {"deepseek", Family::deepseek_v1, false, false},
    {"deepseek_v2", Family::deepseek_mla, false, false},
    {"deepseek_v3", Family::deepseek_mla, false, false},
    {"kimi_k2", Family::deepseek_mla, false, false},
    {"qwen3_moe", Family::qwen_moe, false, true},
    {"mixtral", Family::mixtral, false, false},
    {"gpt_oss", Family::gpt_oss, true, false},
    {"llama", Family::dense, false, false},
    {"mistral", Family::dense, false, false},
    {"qwen2", Family::dense, true, false},
    {"qwen3", Family::dense, false, true},
};

const FamilyRow& family_of(ObjectReader& reader) {
  const std::string type = reader.text("model_type");
  std::vector<std::string> known;
  for (const FamilyRow& row : kFamilies) {
    if (type == row.model_type) return row;
    known.emplace_back(row.model_type);
  }
  reader.fail("model_type", "unknown model type " + in_quotes(type) + "; known: " + joined(known));
}

struct Aliased {
  std::int64_t value;
  std::string key;  // the one that was there
};

// The value under whichever alias is present; two aliases that disagree are an error.
Aliased aliased(ObjectReader& reader, const std::vector<std::string>& keys, std::int64_t highest) {
  std::optional<std::int64_t> value;
  std::string first;
  for (const std::string& key : keys) {
    if (!reader.has(key)) continue;
    const std::int64_t v = reader.integer(key, 1, highest);
    if (value && *value != v)
      reader.fail(key,
                  "is " + std::to_string(v) + " but \"" + first + "\" is " +
                      std::to_string(*value) + "; they mean the same");
    if (!value) first = key;
    value = v;
  }
  if (!value) {
    std::string also;
    for (std::size_t i = 1; i < keys.size(); ++i) also += (i == 1 ? "" : ", ") + keys[i];
    reader.fail("missing key \"" + keys[0] + "\" (also read as " + also + ")");
  }
  return {*value, first};
}

void read_attention(ObjectReader& reader, const FamilyRow& row, ModelSpec& model) {
  model.num_heads = reader.integer("num_attention_heads", 1, 65536);
  if (row.family == Family::deepseek_mla) {
    LatentAttention latent;
    if (reader.node().find("q_lora_rank") == nullptr)
      reader.fail("missing key \"q_lora_rank\" (null when queries are not compressed)");
    latent.q_lora_rank = reader.integer_or("q_lora_rank", 1, kMaxWidth, 0);
    latent.kv_lora_rank = reader.integer("kv_lora_rank", 1, kMaxWidth);
    latent.qk_nope_head_dim = reader.integer("qk_nope_head_dim", 1, 65536);
    latent.qk_rope_head_dim = reader.integer("qk_rope_head_dim", 1, 65536);
    latent.v_head_dim = reader.integer("v_head_dim", 1, 65536);
    model.head_dim = latent.qk_nope_head_dim + latent.qk_rope_head_dim;
    model.num_kv_heads = model.num_heads;
    model.latent = latent;
  } else {
    // A missing num_key_value_heads means multi-head attention in the Llama reader of the
    // transformers library.
    model.num_kv_heads = reader.integer_or("num_key_value_heads", 1, 65536, model.num_heads);
    if (model.num_heads % model.num_kv_heads != 0)
      reader.fail("num_key_value_heads",
                  std::to_string(model.num_kv_heads) + " does not divide num_attention_heads " +
                      std::to_string(model.num_heads));
    if (reader.has("head_dim")) {
      model.head_dim = reader.integer("head_dim", 1, 65536);
    } else {
      if (model.hidden % model.num_heads != 0)
        reader.fail("num_attention_heads",
                    std::to_string(model.num_heads) + " does not divide hidden_size " +
                        std::to_string(model.hidden) + " and there is no head_dim");
      model.head_dim = model.hidden / model.num_heads;
    }
  }
  const bool bias = reader.boolean_or("attention_bias", false);
  model.qkv_bias = row.qkv_bias || bias;
  model.output_bias = row.family == Family::gpt_oss || bias;
  model.qk_norm = row.qk_norm;
  model.attention_sinks = row.family == Family::gpt_oss;
  if (model.latent && bias)
    reader.fail("attention_bias", "biases are not modelled for latent attention; expected false");

  model.attention_window.assign(static_cast<std::size_t>(model.num_layers), 0);
  if (reader.has("layer_types")) {  // alternating windows (gpt-oss)
    const auto types = reader.text_list("layer_types");
    if (static_cast<std::int64_t>(types.size()) != model.num_layers)
      reader.fail("layer_types",
                  "expected one entry for each of the " + std::to_string(model.num_layers) +
                      " layers, found " + std::to_string(types.size()));
    for (std::size_t i = 0; i < types.size(); ++i) {
      if (types[i] == "sliding_attention")
        model.attention_window[i] = reader.integer("sliding_window", 1, 1 << 30);
      else if (types[i] != "full_attention")
        throw InputError(reader.required("layer_types").items[i].place(),
                         "unknown layer type " + in_quotes(types[i]) +
                             "; known: full_attention, sliding_attention");
    }
  }
}

// How DeepSeek's gates differ (model/gate.hpp). A key that is missing stands for what the family's
// paper describes; the scale, on which no cost depends, for 1.
void read_deepseek_gate(ObjectReader& reader, const std::string& model_type, MoeSpec& moe) {
  const bool sigmoid_family = model_type == "deepseek_v3" || model_type == "kimi_k2";
  moe.score = sigmoid_family ? ScoreFunction::sigmoid : ScoreFunction::softmax;
  if (reader.has("scoring_func")) {
    moe.score = reader.choice("scoring_func", {"softmax", "sigmoid"}) == "sigmoid"
                    ? ScoreFunction::sigmoid
                    : ScoreFunction::softmax;
  }
  std::string method = sigmoid_family ? "noaux_tc" : "group_limited_greedy";
  if (reader.has("topk_method"))
    method = reader.choice("topk_method", {"greedy", "group_limited_greedy", "noaux_tc"});
  moe.group_score = method == "noaux_tc" ? GroupScore::sum_of_best : GroupScore::best_expert;
  if (method == "greedy") moe.max_groups = moe.num_groups;  // it takes the best of all groups
  moe.renormalise = reader.boolean_or("norm_topk_prob", sigmoid_family);
  moe.routed_scale = reader.number_or("routed_scaling_factor", 1e-6, 1e6, 1);
}

void read_moe(ObjectReader& reader, Family family, ModelSpec& model) {
  MoeSpec moe;
  const auto layers = static_cast<std::size_t>(model.num_layers);
  model.layer_is_moe.assign(layers, false);
  if (family == Family::dense) return;
  moe.num_experts = aliased(reader, kNumExpertsKeys, kMaxExperts).value;
  const Aliased top_k = aliased(reader, kTopKKeys, kMaxTopK);
  moe.top_k = top_k.value;
  if (moe.top_k > moe.num_experts)
    reader.fail(top_k.key,
                std::to_string(moe.top_k) + " is more than the " + std::to_string(moe.num_experts) +
                    " experts");

  if (family == Family::deepseek_v1 || family == Family::deepseek_mla) {
    moe.expert_intermediate = reader.integer("moe_intermediate_size", 1, kMaxWidth);
    moe.shared_intermediate =
        moe.expert_intermediate * reader.integer_or("n_shared_experts", 0, 1024, 0);
    const std::int64_t first_dense = reader.integer("first_k_dense_replace", 0, model.num_layers);
    const std::int64_t every = reader.integer_or("moe_layer_freq", 1, kMaxLayers, 1);
    for (std::size_t i = 0; i < layers; ++i)
      model.layer_is_moe[i] =
          static_cast<std::int64_t>(i) >= first_dense && static_cast<std::int64_t>(i) % every == 0;
    moe.num_groups = reader.integer_or("n_group", 1, moe.num_experts, 1);
    moe.max_groups = reader.integer_or("topk_group", 1, moe.num_groups, moe.num_groups);
    if (moe.num_experts % moe.num_groups != 0)
      reader.fail("n_group",
                  std::to_string(moe.num_groups) + " does not divide the " +
                      std::to_string(moe.num_experts) + " experts");
    if (moe.max_groups * (moe.num_experts / moe.num_groups) < moe.top_k)
      reader.fail("topk_group",
                  "groups x experts in each = " + std::to_string(moe.max_groups) + " x " +
                      std::to_string(moe.num_experts / moe.num_groups) +
                      " are fewer than the top-" + std::to_string(moe.top_k) + " of a token");
    read_deepseek_gate(reader, model.model_type, moe);
  } else if (family == Family::qwen_moe) {
    moe.renormalise = reader.boolean_or("norm_topk_prob", false);
    moe.expert_intermediate = reader.integer("moe_intermediate_size", 1, kMaxWidth);
    const std::int64_t every = reader.integer_or("decoder_sparse_step", 1, kMaxLayers, 1);
    std::vector<std::int64_t> dense;
    if (reader.has("mlp_only_layers"))
      dense = reader.integer_list("mlp_only_layers", 0, model.num_layers - 1);
    for (std::size_t i = 0; i < layers; ++i)
      model.layer_is_moe[i] =
          (static_cast<std::int64_t>(i) + 1) % every == 0 &&
          std::find(dense.begin(), dense.end(), static_cast<std::int64_t>(i)) == dense.end();
  } else {  // Mixtral and gpt-oss: every layer, expert width under intermediate_size
    moe.expert_intermediate = reader.integer("intermediate_size", 1, kMaxWidth);
    model.layer_is_moe.assign(layers, true);
    // Mixtral (arXiv 2401.04088, section 2.1) and gpt-oss take the softmax over the chosen logits
    // alone, which is the softmax over all of them, divided by its sum over the chosen.
    moe.renormalise = true;
    model.expert_bias = family == Family::gpt_oss;
  }
  moe.num_groups = std::max<std::int64_t>(1, moe.num_groups);
  model.moe = moe;
}

// In doubles, because what it refuses need not fit 64 bits.
void check_size(const ObjectReader& reader, const ModelSpec& m) {
  const auto d = [](std::int64_t v) { return static_cast<double>(v); };
  const double h = d(m.hidden), heads = d(m.num_heads), head = d(m.head_dim),
               value = d(m.value_head_dim());
  double attention = h * head * (2 * heads + 2 * d(m.num_kv_heads));
  if (m.latent) {
    attention = std::max(h, d(m.latent->q_lora_rank)) * heads * head +
                h * d(m.latent->q_lora_rank) +
                d(m.latent->kv_lora_rank) * (h + heads * (head + value)) + heads * value * h;
  }
  double layer = attention + 3 * h * d(m.dense_intermediate);
  if (m.moe)
    layer +=
        3 * h *
        (d(m.moe->num_experts) * d(m.moe->expert_intermediate) + d(m.moe->shared_intermediate));
  const double parameters = d(m.num_layers + m.num_mtp_modules) * layer + 2 * d(m.vocab) * h;
  if (parameters > kMaxParameters)
    reader.fail("these sizes make a model of some " +
                number_text(std::pow(10, std::round(std::log10(parameters)))) +
                " parameters; expected at most " + number_text(kMaxParameters));
}

}  // namespace

std::int64_t ModelSpec::num_moe_layers() const {
  return std::count(layer_is_moe.begin(), layer_is_moe.end(), true);
}

ModelSpec read_model_spec(const JsonNode& config, const std::string& name) {
  ObjectReader reader(config);
  ModelSpec model;
  model.name = name;
  const FamilyRow& row = family_of(reader);
  model.model_type = row.model_type;
  model.num_layers = reader.integer("num_hidden_layers", 1, kMaxLayers);
  model.hidden = reader.integer("hidden_size", 1, kMaxWidth);
  model.vocab = reader.integer("vocab_size", 1, 1 << 28);
  read_attention(reader, row, model);
  read_moe(reader, row.family, model);
  const bool all_moe = model.num_moe_layers() == model.num_layers;
  model.dense_intermediate = all_moe ? reader.integer_or("intermediate_size", 1, kMaxWidth, 0)
                                     : reader.integer("intermediate_size", 1, kMaxWidth);
  model.num_mtp_modules = reader.integer_or("num_nextn_predict_layers", 0, 16, 0);
  model.tied_embeddings = reader.boolean_or("tie_word_embeddings", false);
  check_size(reader, model);
  return model;
}

ModelSpec read_model_spec(const std::filesystem::path& config_json) {
  return read_model_spec(read_json_file(config_json), config_json.stem().string());
}

}  // namespace moesim
