// Parameters, FLOPs and KV bytes of every shipped model against what its authors publish.
#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "model/errors.hpp"
#include "model/model_counts.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"
#include "tests/temporary_folder.hpp"

using namespace moesim;

namespace {

// Published figures in 1e9 parameters; `half_digit` is half of the last published digit.
struct Published {
  const char* model;
  double total, half_digit;
  double active, active_half_digit;  // 0: a dense model, all are active
  const char* source;
};
const Published kPublished[] = {
    {"deepseek-v3", 671.0, 0.05, 37.55, 0.005, "V3 report, section 2.1: 671B, 37B"},
    {"deepseek-v2", 236, 0.5, 21, 0.5, "V2 report, section 1"},
    {"deepseek-v2-lite", 15.7, 0.05, 2.4, 0.3, "V2 report, appendix B; 2.45 without embedding"},
    {"deepseek-moe-16b", 16.4, 0.05, 2.8, 0.05, "DeepSeekMoE, section 5"},
    {"deepseek-llm-67b", 67.4, 0.05, 0, 0, "DeepSeek-V2 report, Table 1"},
    {"deepseek-llm-7b", 6.9, 0.05, 0, 0, "DeepSeekMoE, section 5"},
    {"mixtral-8x7b", 46.7, 0.05, 12.9, 0.05, "Mistral: 46.7B, 12.9B"},
    {"mixtral-8x22b", 141, 0.5, 39, 0.5, "Mistral: 141B, 39B"},
    {"llama-3.1-405b", 405.9, 0.05, 0, 0, "safetensors index"},
    {"llama-3.1-70b", 70.6, 0.05, 0, 0, "model card"},
    {"llama-2-7b", 6.74, 0.005, 0, 0, "model card"},
    {"qwen2.5-72b", 72.7, 0.05, 0, 0, "model card"},
    {"qwen3-235b-a22b", 235.1, 0.05, 22, 0.5, "model card"},
    {"qwen3-30b-a3b", 30.5, 0.05, 3.35, 0.05, "model card: 30.5B, 3.3B (cut, not rounded)"},
    {"kimi-k2", 1030, 5, 32.6, 0.3, "safetensors index; K2 report: 32.6B"},
    {"gpt-oss-120b", 116.83, 0.005, 5.71, 0.005, "gpt-oss model card, Table 1"},
    {"gpt-oss-20b", 20.91, 0.006, 4.19, 0.005, "gpt-oss model card, Table 1"},
};

double billions(std::int64_t n) { return static_cast<double>(n) / 1e9; }

double training_gflop(const std::string& model, AttentionConvention convention) {
  return flops_per_token(shipped_model(model), 4096, convention).training().in(GFLOP);
}

// A shipped config as text, with one piece replaced; read under the name "edited.json".
ModelSpec read_edited(const std::string& model, const std::string& piece, const std::string& by) {
  std::string text = file_text(scenario_folder() / "models" / (model + ".json"));
  const auto at = text.find(piece);
  REQUIRE(at != std::string::npos);
  text.replace(at, piece.size(), by);
  return read_model_spec(parse_json(text, "edited.json"), "edited");
}

std::string refusal(const std::string& model, const std::string& piece, const std::string& by) {
  try {
    read_edited(model, piece, by);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("model counts: totals and actives are the published ones", "[model_counts]") {
  for (const Published& row : kPublished) {
    INFO(row.model << ": " << row.source);
    const ModelSpec model = shipped_model(row.model);
    const double total = billions(count_parameters(model).total());
    const double active = billions(active_parameters(model));
    CHECK(std::abs(total - row.total) <= row.half_digit);
    if (row.active > 0) {
      CHECK(std::abs(active - row.active) <= row.active_half_digit);
    } else {
      CHECK(active == total);
    }
  }
}

TEST_CASE("model counts: exact totals of the published checkpoints", "[model_counts]") {
  // "total" of each model's safetensors metadata on Hugging Face: every tensor of the main model,
  // so one bias or norm forgotten shows.
  const std::pair<const char*, std::int64_t> rows[] = {{"deepseek-v3", 671026419200},
                                                       {"deepseek-v2-lite", 15706484224},
                                                       {"mixtral-8x7b", 46702792704},
                                                       {"llama-2-7b", 6738415616},
                                                       {"llama-3.1-70b", 70553706496},
                                                       {"llama-3.1-405b", 405853388800},
                                                       {"qwen2.5-72b", 72706203648},
                                                       {"qwen3-30b-a3b", 30532122624},
                                                       {"qwen3-235b-a22b", 235093634560},
                                                       {"gpt-oss-20b", 20914757184},
                                                       {"gpt-oss-120b", 116829156672}};
  for (const auto& [name, total] : rows) {
    INFO(name);
    CHECK(count_parameters(shipped_model(name)).total() == total);
  }
}

TEST_CASE("model counts: every shipped config has a published row", "[model_counts]") {
  std::set<std::string> known;
  for (const Published& row : kPublished) known.insert(row.model);
  for (const auto& file : std::filesystem::directory_iterator(scenario_folder() / "models")) {
    CHECK(known.count(file.path().stem().string()) == 1);
  }
}

TEST_CASE("model counts: actives stated without the input embedding", "[model_counts]") {
  // gpt-oss model card, Table 1: 5.13B and 3.61B; V3 repository, README_WEIGHTS: 36.6B.
  const std::pair<const char*, double> rows[] = {
      {"deepseek-v3", 36.63}, {"gpt-oss-120b", 5.13}, {"gpt-oss-20b", 3.61}};
  for (const auto& [name, published] : rows) {
    const ModelSpec model = shipped_model(name);
    const std::int64_t embedding = count_parameters(model).embedding;
    INFO(name);
    CHECK(std::abs(billions(active_parameters(model) - embedding) - published) <= 0.005);
  }
}

TEST_CASE("model counts: the parts of V3 by hand", "[model_counts]") {
  const ModelSpec m = shipped_model("deepseek-v3");
  const std::int64_t expert = 3 * 7168 * 2048;
  const std::int64_t attention =
      7168 * 1536 + 1536 * 128 * 192 + 7168 * (512 + 64) + 512 * 128 * 256 + 128 * 128 * 7168;
  CHECK(expert == 44040192);
  CHECK(attention == 187105280);
  CHECK(expert_parameters(m) == expert);
  CHECK(shared_expert_parameters(m) == expert);
  CHECK(attention_parameters(m) == attention);
  CHECK(gate_parameters(m) == 256 * 7168 + 256);  // with the selection bias
  CHECK(dense_ffn_parameters(m) == 9 * expert);   // 18432 = 9 x 2048
  CHECK(layer_norm_parameters(m) == 2 * 7168 + 1536 + 512);

  const ParameterCounts c = count_parameters(m);
  CHECK(c.embedding == 129280 * 7168);
  CHECK(c.head == c.embedding);
  CHECK(c.routed_experts == 58 * 256 * expert);
  CHECK(c.shared_experts == 58 * expert);
  CHECK(c.dense_ffn == 3 * 9 * expert);
  CHECK(c.attention == 61 * attention);
  CHECK(c.norms == 61 * (2 * 7168 + 1536 + 512) + 7168);
  CHECK(c.total() == c.embedding + c.head + c.attention + c.dense_ffn + c.routed_experts +
                         c.shared_experts + c.gate + c.norms);
  // The V3 repository's README_WEIGHTS: 11.5B of its own in the MTP module, embedding and head
  // shared; with them "14B", and 685B in all.
  CHECK(billions(c.mtp) == Approx(11.5).epsilon(0.01));
  CHECK(billions(c.mtp + c.embedding + c.head) == Approx(13.5).margin(0.5));
  CHECK(billions(c.total() + c.mtp + c.embedding + c.head) == Approx(684.5).margin(0.5));
}

TEST_CASE("model counts: tied embeddings are counted once", "[model_counts]") {
  const std::string untied = "\"tie_word_embeddings\": false";
  const ModelSpec two = shipped_model("llama-3.1-70b");
  const ModelSpec one = read_edited("llama-3.1-70b", untied, "\"tie_word_embeddings\": true");
  CHECK(count_parameters(two).total() - count_parameters(one).total() == two.vocab * two.hidden);
  // The head's product is still computed.
  const auto causal = AttentionConvention::causal;
  CHECK(flops_per_token(one, 4096, causal).training() ==
        flops_per_token(two, 4096, causal).training());
}

TEST_CASE("model counts: KV bytes per token", "[model_counts]") {
  // "Insights into DeepSeek-V3" (ISCA'25), Table 1, BF16; FP8 is half of it.
  CHECK(kv_bytes_per_token(shipped_model("deepseek-v3"), 2) == 70272 * B);
  CHECK(kv_bytes_per_token(shipped_model("deepseek-v3"), 1) == 35136 * B);
  CHECK(kv_bytes_per_token(shipped_model("llama-3.1-405b"), 2) == 516096 * B);
  CHECK(kv_bytes_per_token(shipped_model("qwen2.5-72b"), 2) == 327680 * B);
  // V2 report, section 2.1.4: as large as 2.25 groups of grouped-query attention.
  CHECK(equivalent_gqa_groups(shipped_model("deepseek-v2")) == 2.25);
  CHECK(equivalent_gqa_groups(shipped_model("llama-3.1-70b")) == 8);
  // V2 report, section 1 and 3.2.3: 93.3 % less than 67B, with 6 bits an element on average.
  const Bytes v2 = kv_bytes_per_token(shipped_model("deepseek-v2"), 6.0 / 8);
  const Bytes dense = kv_bytes_per_token(shipped_model("deepseek-llm-67b"), 2);
  CHECK(std::abs(100 * (1 - v2 / dense) - 93.3) <= 0.05);
}

TEST_CASE("model counts: training FLOPs per token", "[model_counts]") {
  // "Insights into DeepSeek-V3", Table 2: sequences of 4096, causal.
  CHECK(training_gflop("deepseek-v3", AttentionConvention::causal) == Approx(250).epsilon(0.005));
  CHECK(training_gflop("deepseek-v2", AttentionConvention::causal) == Approx(155).epsilon(0.005));
  CHECK(training_gflop("llama-3.1-405b", AttentionConvention::causal) ==
        Approx(2448).epsilon(0.011));
  // Table 4: 432 TFLOP/s counted non-causal over 385 counted causal.
  const double non_causal = training_gflop("deepseek-v3", AttentionConvention::non_causal);
  CHECK(non_causal == Approx(281).epsilon(0.005));
  CHECK(non_causal / training_gflop("deepseek-v3", AttentionConvention::causal) ==
        Approx(432.0 / 385).epsilon(0.002));
  // DeepSeekMoE, Table 3: TFLOP per 4K tokens; the full square.
  const std::pair<const char*, double> rows[] = {
      {"deepseek-moe-16b", 74.4}, {"deepseek-llm-7b", 183.5}, {"llama-2-7b", 187.9}};
  for (const auto& [name, published] : rows) {
    INFO(name);
    const double tflop = training_gflop(name, AttentionConvention::non_causal) * 4096 / 1e3;
    CHECK(tflop == Approx(published).epsilon(0.021));
  }
}

TEST_CASE("model counts: FLOPs per token from the parameters", "[model_counts]") {
  // Without attention (one token: half a key), 2 FLOPs for every active weight of a matrix: all
  // but embedding, norms and biases.
  const ModelSpec m = shipped_model("deepseek-v3");
  const ParameterCounts c = count_parameters(m);
  const std::int64_t weights = active_parameters(m) - c.embedding - c.norms - 58 * 256;
  const double half_a_key = 2 * 0.5 * 61 * 128 * (192 + 128);
  const FlopsPerToken one = flops_per_token(m, 1, AttentionConvention::causal);
  CHECK(one.forward.in(FLOP) == Approx(2.0 * static_cast<double>(weights) + half_a_key));
  CHECK(one.backward == 2 * one.forward);
  // A longer sequence adds attention only; the full square is twice the causal half.
  for (const auto convention : {AttentionConvention::causal, AttentionConvention::non_causal}) {
    const double keys = convention == AttentionConvention::causal ? 2048 : 4096;
    const double attention = 2 * keys * 61 * 128 * (192 + 128);
    CHECK(flops_per_token(m, 4096, convention).forward.in(FLOP) ==
          Approx(2.0 * static_cast<double>(weights) + attention));
  }
  // V3, section 3.2.3: the up-projections once more.
  CHECK(recompute_flops_per_token(m).in(FLOP) ==
        2.0 * 61 * (1536 * 128 * 192 + 512 * 128 * (128 + 128)));
  CHECK(recompute_flops_per_token(shipped_model("mixtral-8x7b")) == 0 * FLOP);
  // One more MoE layer, the 2h -> h projection and the head.
  const double layer = 187105280.0 + 9 * 44040192.0 + 256 * 7168;
  CHECK(mtp_forward_flops_per_token(m, 4096, AttentionConvention::causal).in(FLOP) ==
        Approx(2 * (layer + 2.0 * 7168 * 7168 + 129280.0 * 7168) + 2 * 2048.0 * 128 * 320));
}

TEST_CASE("model counts: a window clips the keys of its layers only", "[model_counts]") {
  const ModelSpec m = shipped_model("gpt-oss-120b");
  const std::int64_t length = 4096, window = 128;
  double keys = 0;  // of all tokens, on the 18 windowed and 18 full layers
  for (std::int64_t token = 0; token < length; ++token) {
    keys += 18 * static_cast<double>(std::min(token + 1, window));
    keys += 18 * static_cast<double>(token + 1);
  }
  const double by_hand = 2 * keys / static_cast<double>(length) * 64 * (64 + 64);
  const auto causal = AttentionConvention::causal;
  ModelSpec unwindowed = m;
  unwindowed.attention_window.assign(36, 0);
  const double full = flops_per_token(unwindowed, length, causal).forward.in(FLOP);
  const double clipped = flops_per_token(m, length, causal).forward.in(FLOP);
  const double all_full = 2 * 36 * static_cast<double>(length) / 2 * 64 * (64 + 64);
  // The papers' convention drops half a key on the diagonal: 36 x 0.5 of 39,000 keys.
  CHECK(all_full - (full - clipped) == Approx(by_hand).epsilon(0.001));
}

TEST_CASE("model counts: one meaning under several keys", "[model_counts]") {
  const std::int64_t total = count_parameters(shipped_model("deepseek-v3")).total();
  const std::string experts = "\"n_routed_experts\": 256", top_k = "\"num_experts_per_tok\": 8";
  for (const char* key : {"num_experts", "num_local_experts", "num_routed_experts"}) {
    INFO(key);
    const ModelSpec m = read_edited("deepseek-v3", experts, "\"" + std::string(key) + "\": 256");
    CHECK(count_parameters(m).total() == total);
  }
  for (const char* key : {"num_experts_per_token", "experts_per_token"}) {
    INFO(key);
    const ModelSpec m = read_edited("deepseek-v3", top_k, "\"" + std::string(key) + "\": 8");
    CHECK(m.moe->top_k == 8);
  }
  CHECK(read_edited("deepseek-v3", experts, experts + ", \"num_experts\": 256").moe->num_experts ==
        256);
}

TEST_CASE("model counts: keys that disagree or are missing, in full", "[model_counts]") {
  const std::string experts = "\"n_routed_experts\": 256", top_k = "\"num_experts_per_tok\": 8";
  CHECK(refusal("deepseek-v3", experts, experts + ", \"num_experts\": 128") ==
        "edited.json: /num_experts: is 128 but \"n_routed_experts\" is 256; they mean the same");
  CHECK(refusal("deepseek-v3", top_k, top_k + ", \"experts_per_token\": 6") ==
        "edited.json: /experts_per_token: is 6 but \"num_experts_per_tok\" is 8; "
        "they mean the same");
  CHECK(refusal("deepseek-v3", experts, "\"experts\": 256") ==
        "edited.json: missing key \"n_routed_experts\" (also read as num_experts, "
        "num_local_experts, num_routed_experts)");
  CHECK(refusal("deepseek-v3", "\"q_lora_rank\": 1536,", "") ==
        "edited.json: missing key \"q_lora_rank\" (null when queries are not compressed)");
  CHECK(refusal("mixtral-8x7b", "\"num_key_value_heads\": 8", "\"num_key_value_heads\": 5") ==
        "edited.json: /num_key_value_heads: 5 does not divide num_attention_heads 32");
  CHECK(refusal("deepseek-v3", "\"topk_group\": 4", "\"topk_group\": 9") ==
        "edited.json: /topk_group: expected an integer from 1 to 8, found 9");
}
