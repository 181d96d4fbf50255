// Whole steps under tensor, context and expert tensor parallelism, recomputation and other recipes.
#include <string>

#include "model/errors.hpp"
#include "sim/run.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

double step_s(const StepResult& step) { return to_seconds(step.timeline.step).in(s); }

// Llama 3.1 405B on 512 H100, as a user would override a shipped scenario.
Changes llama_405b(const Changes& changes = {}) {
  Changes all = {
      {"/model", "\"models/llama-3.1-405b.json\""},
      {"/cluster/num_nodes", "64"},
      {"/plan", R"({"tp": 8, "sequence_parallel": true, "cp": 1, "pp": 16, "dp": 4,
                              "ep": 1, "schedule": "1f1b", "comm_sms": 0, "recipe": "bf16",
                              "moments": "fp32", "recompute": "none"})"},
      {"/phases", R"([{"name": "training", "seq_len": 8192, "batch": 128, "steps": 1}])"}};
  all.insert(all.end(), changes.begin(), changes.end());
  return all;
}
StepResult llama_step(const Changes& changes = {}) {
  return simulate_first_phase(shipped_scenario("deepseek-v3-megatron-256", llama_405b(changes)));
}
// Experts and attention on grids of their own: tp 2 in attention, expert_tp 2 among neighbours.
const Changes kBothTp = {{"/plan/tp", "2"},
                         {"/plan/dp", "8"},
                         {"/plan/ep", "8"},
                         {"/plan/expert_tp", "2"},
                         {"/plan/sequence_parallel", "true"}};

Tick category(const StepResult& step, Category c) {
  Tick sum = 0;
  for (const RankTimes& rank : step.timeline.ranks)
    sum += rank.by_category[static_cast<std::size_t>(c)];
  return sum;
}

}  // namespace

TEST_CASE("parallel steps: Llama 3.1 405B under tp 8", "[parallel_steps]") {
  const StepResult step = llama_step();
  CHECK(step.timeline.step > 0);
  CHECK(category(step, Category::exposed_comm) > 0);
  CHECK(category(step, Category::quantise) == 0);
  // The same ranks with tp across nodes: the collectives are slower, nothing else is.
  const StepResult apart = llama_step({{"/plan/rank_order", "\"dp-tp-cp-pp\""}});
  CHECK(category(apart, Category::exposed_comm) > category(step, Category::exposed_comm));
  CHECK(category(apart, Category::attention) == category(step, Category::attention));
}

TEST_CASE("parallel steps: full recomputation costs about a forward pass", "[parallel_steps]") {
  const StepResult none = llama_step(), full = llama_step({{"/plan/recompute", "\"full\""}});
  CHECK(step_s(full) / step_s(none) > 1.2);
  CHECK(step_s(full) / step_s(none) < 1.4);
  const auto loss = [](const StepResult& step) {
    return step.timeline.seconds_by_loss[static_cast<std::size_t>(Loss::recompute)];
  };
  CHECK(loss(none) == 0);
  CHECK(loss(full) > 0);
}

TEST_CASE("parallel steps: folded and unfolded agree to the tick", "[parallel_steps]") {
  for (const Changes& plan :
       {kBothTp,
        Changes{{"/plan/cp", "2"}, {"/plan/dp", "8"}, {"/plan/cp_method", "\"ring\""}},
        Changes{{"/plan/cp", "2"}, {"/plan/dp", "8"}, {"/plan/cp_method", "\"ulysses\""}},
        Changes{{"/plan/recompute", "\"full\""}, {"/plan/schedule", "\"1f1b\""}},
        Changes{{"/plan/recompute", "\"full\""}},
        Changes{{"/plan/recipe", "\"fp8_tensor\""},
                {"/plan/microbatch", "2"},
                {"/phases/0/batch", "256"}}}) {
    CAPTURE(plan.front().first, plan.front().second);
    const Scenario scenario = small_v3(plan);
    SimulationOptions every_rank;
    every_rank.allow_folding = false;
    const StepResult folded = simulate_first_phase(scenario),
                     unfolded = simulate_first_phase(scenario, every_rank);
    CHECK(folded.folded);
    CHECK(!unfolded.folded);
    CHECK(folded.timeline.step == unfolded.timeline.step);
  }
}

TEST_CASE("parallel steps: neighbours that share experts have the same rows", "[parallel_steps]") {
  Scenario scenario = sampled_small_v3(kBothTp);
  const CostModel model(scenario.profile, scenario.cluster.gpu);
  const StageCosts costs(scenario, scenario.phases[0], model, false, 1);
  for (std::int64_t rank = 0; rank < costs.ranks_per_stage(); rank += 2)
    CHECK(costs.load(1, 0, 0, rank).load_class == costs.load(1, 0, 0, rank + 1).load_class);
  CHECK(costs.load(1, 0, 0, 0).load_class != costs.load(1, 0, 0, 2).load_class);
}

TEST_CASE("parallel steps: two sequences a microbatch are twice the rows", "[parallel_steps]") {
  const Scenario one = small_v3(),
                 two = small_v3({{"/plan/microbatch", "2"}, {"/phases/0/batch", "256"}});
  auto rows = [](const Scenario& scenario) {
    return simulate_first_phase(scenario).mean_load.rows;
  };
  CHECK(rows(two) == 2 * rows(one));
}

TEST_CASE("parallel steps: refusals show their arithmetic", "[parallel_steps]") {
  auto message = [](const Changes& changes) {
    return refusal([&] { shipped_scenario("deepseek-v3-megatron-256", llama_405b(changes)); });
  };
  auto has = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
  };
  has(message({{"/plan/tp", "256"}, {"/plan/pp", "2"}, {"/plan/dp", "1"}}),
      "/tp: 256 does not divide the 128 attention heads of llama-3.1-405b");
  has(message({{"/model", "\"models/qwen3-235b-a22b.json\""},
               {"/model/num_attention_heads", "96"},
               {"/model/num_key_value_heads", "6"}}),
      "/tp: 8 ranks and the 6 key-value heads of qwen3-235b-a22b: neither divides the other");
  has(message({{"/model/intermediate_size", "53252"}}),
      "/tp: 8 does not divide the feed-forward width of 53252 of llama-3.1-405b");
  has(message({{"/phases/0/seq_len", "8190"}}),
      "/phases/0/seq_len: 8190 tokens of a microbatch are not divisible by tp 8, over which "
      "\"sequence_parallel\" spreads them");
  has(message({{"/plan/cp", "2"},
               {"/plan/dp", "2"},
               {"/plan/cp_method", "\"ring\""},
               {"/phases/0/seq_len", "8194"}}),
      "/phases/0/seq_len: 8194 is not divisible by 2 x cp 2 = 4 pieces, two for each rank of the "
      "ring");
  has(refusal([] {
        small_v3({{"/plan/tp", "2"}, {"/plan/dp", "8"}});
      }),
      "/plan/sequence_parallel: is off beside tp 2 and experts");
}
