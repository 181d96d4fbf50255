// The bound that plan searches rest on: over random small plans never above the simulated step, and
// equal to it where nothing travels beside the chunks.
#include <algorithm>

#include "sim/step_bound.hpp"
#include "tests/catch.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

// A choice of each field, from a counter: neighbouring numbers differ in many fields.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  std::string operator()(const std::vector<std::string>& values) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return values[(state_ >> 33) % values.size()];
  }

 private:
  std::uint64_t state_;
};

Changes random_plan(std::uint64_t seed, bool beside_chunks) {
  Draw draw(seed);
  const std::string pp = draw({"1", "2", "4"}), tp = draw({"1", "1", "2"});
  const std::string schedule = draw(
      {"gpipe", "1f1b", "interleaved_1f1b", "zb_h1", "zb_h2", "zb_v", "dualpipe", "dualpipe_v"});
  const bool by_itself = schedule == "dualpipe" || schedule == "dualpipe_v";
  const std::string overlap =
      schedule == "1f1b" || schedule == "interleaved_1f1b" ? draw({"true", "false"}) : "false";
  Changes changes = {{"/plan/layers_per_stage", "null"},
                     {"/plan/pp", pp},
                     {"/plan/tp", tp},
                     {"/plan/sequence_parallel", tp == "1" ? "false" : "true"},
                     {"/plan/dp", std::to_string(64 / std::stoi(pp) / std::stoi(tp))},
                     {"/plan/ep", draw({"1", "8", "16"})},
                     {"/plan/schedule", "\"" + schedule + "\""},
                     {"/plan/virtual_stages", schedule == "interleaved_1f1b" ? "2" : "1"},
                     {"/plan/overlap_expert_comm", overlap},
                     {"/plan/comm_sms", by_itself || overlap == "true" ? draw({"16", "24"}) : "0"},
                     {"/plan/microbatch", draw({"1", "2"})},
                     {"/plan/recipe", draw({"\"bf16\"", "\"fp8_block\""})},
                     {"/plan/recompute", draw({"\"none\"", "\"full\"", "null"})},
                     {"/phases/0/batch", draw({"256", "384"})}};
  if (beside_chunks) {
    changes.emplace_back("/plan/zero_stage", draw({"1", "2", "3"}));
    changes.emplace_back("/plan/overlap_grad_reduce", draw({"true", "false"}));
    changes.emplace_back("/plan/overlap_param_gather", draw({"true", "false"}));
  }
  return changes;
}

struct BoundAndStep {
  Tick bound = 0, step = 0;
};
std::vector<BoundAndStep> random_steps(bool beside_chunks) {
  std::vector<BoundAndStep> all;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    Scenario scenario;
    try {
      scenario = small_v3(random_plan(seed, beside_chunks));
    } catch (const InputError&) {
      continue;
    }
    const TrainingPhase& phase = scenario.phases[0];
    if (!schedule_refusal(phase).empty()) continue;
    const CostModel model(scenario.profile, scenario.cluster.gpu);
    all.push_back({step_bound(scenario, phase, model, costs_for_bound(scenario, phase, model)),
                   simulate_step(scenario, phase, model, SimulationOptions{}).timeline.step});
  }
  return all;
}

}  // namespace

TEST_CASE("step bound: the step itself where nothing travels beside the chunks", "[step_bound]") {
  const std::vector<BoundAndStep> all = random_steps(false);
  REQUIRE(all.size() >= 60);
  for (const BoundAndStep& one : all) CHECK(one.bound == one.step);
}

TEST_CASE("step bound: never above the step, and close below it", "[step_bound]") {
  const std::vector<BoundAndStep> all = random_steps(true);
  REQUIRE(all.size() >= 60);
  double sum = 0;
  std::size_t num_below = 0;
  for (const BoundAndStep& one : all) {
    CHECK(one.bound <= one.step);
    num_below += one.bound < one.step ? 1 : 0;
    sum += static_cast<double>(one.bound) / static_cast<double>(one.step);
  }
  CHECK(num_below > 10);  // some traffic was relaxed: the property says something
  CHECK(sum / static_cast<double>(all.size()) > 0.7);  // ZeRO 3 over few layers travels longest
}
