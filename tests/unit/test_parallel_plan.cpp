// The rank grid, the split of layers over stages against a brute force, and the errors that show
// their arithmetic.
#include <algorithm>
#include <functional>
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "model/errors.hpp"
#include "model/model_counts.hpp"
#include "model/parallel_plan.hpp"
#include "model/random.hpp"
#include "model/rank_grid.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

using Layers = std::vector<std::int64_t>;

// Forward FLOPs of each stage, from the model's own closed forms: a stage's layers, and on the last
// one the head and the MTP modules.
std::vector<double> stage_flops(const ModelSpec& m, const Layers& layers, std::int64_t seq_len) {
  const auto causal = AttentionConvention::causal;
  const double head = 2 * static_cast<double>(m.vocab * m.hidden);
  auto one_layer = [&](bool is_moe) {
    ModelSpec single = m;
    single.num_layers = 1;
    single.layer_is_moe = {is_moe};
    single.attention_window = {0};
    return flops_per_token(single, seq_len, causal).forward.in(FLOP)-head;
  };
  const double dense = one_layer(false), moe = m.moe ? one_layer(true) : 0;
  std::vector<double> stages;
  std::size_t next = 0;
  for (const std::int64_t count : layers) {
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += m.layer_is_moe[next++] ? moe : dense;
    stages.push_back(sum);
  }
  stages.back() += head + mtp_forward_flops_per_token(m, seq_len, causal).in(FLOP);
  return stages;
}
double largest_stage(const ModelSpec& m, const Layers& layers, std::int64_t seq_len) {
  const auto stages = stage_flops(m, layers, seq_len);
  return *std::max_element(stages.begin(), stages.end());
}

// All splits of `layers` into `pp` stages of at least one layer.
void for_all_splits(std::int64_t layers,
                    std::int64_t pp,
                    const std::function<void(const Layers&)>& visit) {
  Layers split;
  const std::function<void(std::int64_t, std::int64_t)> cut = [&](std::int64_t left,
                                                                  std::int64_t stages) {
    if (stages == 1) {
      split.push_back(left);
      visit(split);
      split.pop_back();
      return;
    }
    for (std::int64_t n = 1; n <= left - (stages - 1); ++n) {
      split.push_back(n);
      cut(left - n, stages - 1);
      split.pop_back();
    }
  };
  cut(layers, pp);
}

std::string refusal(const std::vector<std::pair<std::string, std::string>>& changes,
                    const std::string& scenario = "deepseek-v3-pretrain") {
  try {
    shipped_scenario(scenario, changes);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}
bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

TEST_CASE("parallel plan: ranks are numbered pp, dp, cp", "[parallel_plan]") {
  const ParallelPlan v3 = shipped_scenario("deepseek-v3-pretrain").phases[0].plan;
  CHECK(v3.world() == 2048);
  CHECK(v3.ranks_per_stage() == 128);
  CHECK(v3.num_ep_groups() == 2);
  CHECK(v3.layout().stages_of(3) == std::vector<std::int64_t>{3, 12});
  CHECK(v3.layout().copies() == 2);
  const RankCoordinates c = coordinates_of(v3, 3 * 128 + 64 + 5);
  CHECK(c.pp == 3);
  CHECK(c.dp == 69);
  CHECK(c.cp == 0);
  CHECK(c.ep_group == 1);
  CHECK(c.ep_rank == 5);

  ParallelPlan plan;
  plan.pp = 3;
  plan.dp = 4;
  plan.cp = 2;
  plan.ep = 4;
  std::set<std::tuple<std::int64_t, std::int64_t, std::int64_t>> grid;
  std::set<std::tuple<std::int64_t, std::int64_t, std::int64_t>> experts;
  for (std::int64_t rank = 0; rank < plan.world(); ++rank) {
    const RankCoordinates r = coordinates_of(plan, rank);
    CHECK(rank == (r.pp * plan.dp + r.dp) * plan.cp + r.cp);
    CHECK(rank == r.pp * 8 + r.ep_group * plan.ep + r.ep_rank);
    grid.insert({r.pp, r.dp, r.cp});
    experts.insert({r.pp, r.ep_group, r.ep_rank});
  }
  CHECK(grid.size() == 24);
  CHECK(experts.size() == 24);
}

TEST_CASE("parallel plan: an expert-parallel group fills whole nodes", "[parallel_plan]") {
  const Scenario s = shipped_scenario("deepseek-v3-pretrain");
  std::set<std::int64_t> nodes;
  for (std::int64_t rank = 0; rank < 2048; ++rank) {
    const RankCoordinates c = coordinates_of(s.phases[0].plan, rank);
    if (c.pp == 2 && c.ep_group == 1) nodes.insert(rank / s.cluster.gpus_per_node);
  }
  CHECK(nodes == std::set<std::int64_t>{40, 41, 42, 43, 44, 45, 46, 47});
}

TEST_CASE("parallel plan: stages of V3 as the scenario gives them", "[parallel_plan]") {
  const Scenario s = shipped_scenario("deepseek-v3-pretrain");
  const auto stages = stage_layers(s.phases[0].plan, s.model);
  using Kinds = std::vector<LayerKind>;
  const auto embedding = LayerKind::embedding, dense = LayerKind::dense, moe = LayerKind::moe;
  const auto head = LayerKind::head, mtp = LayerKind::mtp_projection;
  REQUIRE(stages.size() == 16);
  CHECK(stages[0] == Kinds{embedding, dense, dense, dense, moe});
  for (std::size_t st = 1; st < 15; ++st) CHECK(stages[st] == Kinds{moe, moe, moe, moe});
  CHECK(stages[15] == Kinds{moe, head, mtp, moe, head});

  const Scenario chunk = shipped_scenario("deepseek-v3-chunk");
  const auto pair = stage_layers(chunk.phases[0].plan, chunk.model);
  REQUIRE(pair.size() == 1);
  CHECK(pair[0] == Kinds{moe, moe, moe, moe});
}

TEST_CASE("parallel plan: every layer is on one stage, in order", "[parallel_plan]") {
  const ModelSpec m = shipped_model("deepseek-v2");
  for (const std::int64_t pp : {1, 2, 3, 7, 16, 60}) {
    ParallelPlan plan;
    plan.pp = pp;
    plan.schedule = ScheduleKind::one_f_one_b;
    plan.layers_per_stage = balanced_layers_per_stage(m, pp, 4096);
    REQUIRE(static_cast<std::int64_t>(plan.layers_per_stage.size()) == pp);
    std::vector<LayerKind> all;
    for (const auto& stage : stage_layers(plan, m))
      all.insert(all.end(), stage.begin(), stage.end());
    REQUIRE(all.size() == 62);
    CHECK(all.front() == LayerKind::embedding);
    CHECK(all.back() == LayerKind::head);
    for (std::size_t i = 0; i < 60; ++i)
      CHECK(all[i + 1] == (m.layer_is_moe[i] ? LayerKind::moe : LayerKind::dense));
  }
}

TEST_CASE("parallel plan: balanced stages against every split", "[parallel_plan]") {
  Random random(3);
  auto pick = [&](double n) { return static_cast<std::int64_t>(random.uniform() * n); };
  ModelSpec m = shipped_model("deepseek-v3");
  for (int trial = 0; trial < 60; ++trial) {
    m.num_layers = 3 + pick(8);
    m.num_mtp_modules = pick(2);
    m.dense_intermediate = 2048 * (1 + pick(20));
    m.vocab = 1000 * (1 + pick(200));
    m.layer_is_moe.clear();
    for (std::int64_t i = 0; i < m.num_layers; ++i) m.layer_is_moe.push_back(pick(3) > 0);
    m.attention_window.assign(static_cast<std::size_t>(m.num_layers), 0);
    const std::int64_t pp = 1 + pick(static_cast<double>(m.num_layers)), seq_len = 4096;
    CAPTURE(m.num_layers, m.num_mtp_modules, m.dense_intermediate, m.vocab, pp);
    double best = 1e300;
    for_all_splits(m.num_layers, pp, [&](const Layers& split) {
      best = std::min(best, largest_stage(m, split, seq_len));
    });
    const Layers chosen = balanced_layers_per_stage(m, pp, seq_len);
    REQUIRE(static_cast<std::int64_t>(chosen.size()) == pp);
    CHECK(*std::min_element(chosen.begin(), chosen.end()) >= 1);
    CHECK(std::accumulate(chosen.begin(), chosen.end(), std::int64_t{0}) == m.num_layers);
    // The balance counts norms and biases as work too: a ten-thousandth.
    CHECK(largest_stage(m, chosen, seq_len) <= best * 1.0002);
  }
}

TEST_CASE("parallel plan: V3's own stages are the balanced ones' equal", "[parallel_plan]") {
  const Scenario s = shipped_scenario("deepseek-v3-pretrain");
  const Layers given = s.phases[0].plan.layers_per_stage;
  CHECK(s.phases[0].plan.explain_layers == "given");
  const Layers balanced = balanced_layers_per_stage(s.model, 16, 4096);
  CHECK(largest_stage(s.model, balanced, 4096) <= largest_stage(s.model, given, 4096));
}

TEST_CASE("parallel plan: errors show their arithmetic", "[parallel_plan]") {
  CHECK(ends_with(refusal({{"/plan/dp", "64"}}),
                  "tp 1 x cp 1 x pp 16 x dp 64 = 1024 ranks, but the cluster has 256 nodes x 8 GPUs"
                  " = 2048"));
  CHECK(ends_with(refusal({{"/plan/ep", "48"}}),
                  "/plan/ep: 48 does not divide the tp x cp x dp = 128 ranks of a stage"));
  CHECK(ends_with(refusal({{"/model/n_routed_experts", "96"}, {"/plan/ep", "64"}}),
                  "/plan/ep: 64 does not divide the 96 experts of deepseek-v3"));
  CHECK(ends_with(refusal({{"/plan/comm_sms", "132"}}),
                  "/plan/comm_sms: 132 leaves no SM of 132 for compute"));
  CHECK(ends_with(refusal({{"/plan/layers_per_stage", "[4, 57]"}}),
                  "/plan/layers_per_stage: has 2 entries for pp 16"));
  CHECK(ends_with(
      refusal({{"/plan/layers_per_stage", "[4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]"}}),
      "/plan/layers_per_stage: adds up to 64, but deepseek-v3 has 61 layers"));
  CHECK(ends_with(refusal({{"/plan/tp", "2"}, {"/plan/dp", "64"}}),
                  "/plan/sequence_parallel: is off beside tp 2 and experts: each tensor-parallel "
                  "rank would dispatch the same tokens; expected true"));
  CHECK(ends_with(refusal({{"/phases/0/batch", "15361"}}),
                  "/phases/0/batch: 15361 sequences are not divisible by dp 128"));
  CHECK(ends_with(refusal({{"/phases/0/batch", "130"}}, "deepseek-v3-chunk"),
                  "/phases/0/batch: an overlapped pair is two microbatches on each of dp 64 ranks; "
                  "expected 128, found 130"));
}
