// What the gates of published models are, read from their own config.json.
#include "model/model_spec.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

// A small model of a family that says `keys` about its gate: the text of further JSON members.
MoeSpec gate_keys(const std::string& model_type, const std::string& keys) {
  const std::string text = R"({"model_type": ")" + model_type + R"(", "vocab_size": 1000,
    "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "q_lora_rank": null,
    "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
    "intermediate_size": 128, "first_k_dense_replace": 1, "moe_intermediate_size": 32,
    "n_routed_experts": 16, "num_experts_per_tok": 4)" +
                           keys + "}";
  return read_model_spec(parse_json(text, "config.json"), "small").moe.value();
}

}  // namespace

TEST_CASE("published configs give the gates of their papers", "[gate]") {
  struct Row {
    const char* model;
    ScoreFunction score;
    GroupScore group_score;
    bool renormalise;
    double scale;
    std::int64_t num_groups, max_groups;
  };
  constexpr auto kSoftmax = ScoreFunction::softmax, kSigmoid = ScoreFunction::sigmoid;
  constexpr auto kBest = GroupScore::best_expert, kSum = GroupScore::sum_of_best;
  const Row rows[] = {
      {"deepseek-moe-16b", kSoftmax, kBest, false, 1, 1, 1},
      {"deepseek-v2-lite", kSoftmax, kBest, false, 1, 1, 1},
      {"deepseek-v2", kSoftmax, kBest, false, 16, 8, 3},
      {"deepseek-v3", kSigmoid, kSum, true, 2.5, 8, 4},
      {"kimi-k2", kSigmoid, kSum, true, 2.827, 1, 1},
      {"mixtral-8x7b", kSoftmax, kSum, true, 1, 1, 1},
      {"mixtral-8x22b", kSoftmax, kSum, true, 1, 1, 1},
      {"gpt-oss-20b", kSoftmax, kSum, true, 1, 1, 1},
      {"gpt-oss-120b", kSoftmax, kSum, true, 1, 1, 1},
      {"qwen3-30b-a3b", kSoftmax, kSum, true, 1, 1, 1},
      {"qwen3-235b-a22b", kSoftmax, kSum, true, 1, 1, 1},
  };
  for (const Row& row : rows) {
    CAPTURE(row.model);
    const MoeSpec moe = shipped_model(row.model).moe.value();
    CHECK(moe.score == row.score);
    CHECK(moe.group_score == row.group_score);
    CHECK(moe.renormalise == row.renormalise);
    CHECK(moe.routed_scale == row.scale);
    CHECK(moe.num_groups == row.num_groups);
    CHECK(moe.max_groups == row.max_groups);
  }
}

TEST_CASE("a config that is silent about its gate has its family's", "[gate]") {
  const MoeSpec v2 = gate_keys("deepseek_v2", R"(, "n_group": 4, "topk_group": 2)");
  CHECK(v2.score == ScoreFunction::softmax);
  CHECK(v2.group_score == GroupScore::best_expert);
  CHECK_FALSE(v2.renormalise);
  CHECK(v2.max_groups == 2);
  for (const std::string family : {"deepseek_v3", "kimi_k2"}) {
    const MoeSpec v3 = gate_keys(family, "");
    CHECK(v3.score == ScoreFunction::sigmoid);
    CHECK(v3.group_score == GroupScore::sum_of_best);
    CHECK(v3.renormalise);
    CHECK(v3.routed_scale == 1);
  }
}

TEST_CASE("a config's own gate overrides its family's", "[gate]") {
  const MoeSpec v3 = gate_keys("deepseek_v3",
                               R"(, "scoring_func": "softmax", "norm_topk_prob": false,
      "routed_scaling_factor": 16, "n_group": 4, "topk_group": 2,
      "topk_method": "group_limited_greedy")");
  CHECK(v3.score == ScoreFunction::softmax);
  CHECK(v3.group_score == GroupScore::best_expert);
  CHECK_FALSE(v3.renormalise);
  CHECK(v3.routed_scale == 16);
  const MoeSpec v1 = gate_keys("deepseek", R"(, "norm_topk_prob": true)");
  CHECK(v1.renormalise);
  // "greedy" ignores the groups: a token may visit them all.
  const MoeSpec greedy =
      gate_keys("deepseek_v2", R"(, "topk_method": "greedy", "n_group": 4, "topk_group": 2)");
  CHECK(greedy.num_groups == 4);
  CHECK(greedy.max_groups == 4);
}

TEST_CASE("a gate that is not known is refused by name", "[gate]") {
  const auto message = [](const std::string& keys) {
    return refusal([&] { gate_keys("deepseek_v3", keys); });
  };
  CHECK(message(R"(, "scoring_func": "relu")") ==
        R"(config.json: /scoring_func: unknown value "relu"; known: softmax, sigmoid)");
  CHECK(message(R"(, "topk_method": "best")") ==
        "config.json: /topk_method: unknown value \"best\"; known: greedy, group_limited_greedy, "
        "noaux_tc");
  CHECK(message(R"(, "norm_topk_prob": 1)") ==
        "config.json: /norm_topk_prob: expected true or false, found the number 1");
  CHECK(message(R"(, "routed_scaling_factor": 0)") ==
        "config.json: /routed_scaling_factor: expected a number from 1e-06 to 1e+06, found 0");
}
