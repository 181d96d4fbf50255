// What the simulator looks up, by hand: transfers of a V3 layer beside compute and alone, against
// the public trace; messages; and the gradient and optimizer phase.
#include <cmath>
#include <string>

#include "model/model_counts.hpp"
#include "model/training_memory.hpp"
#include "sim/optimizer_step.hpp"
#include "sim/stage_costs.hpp"
#include "tests/catch.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

StageCosts costs_of(const Scenario& scenario) {
  const CostModel model(scenario.profile, scenario.cluster.gpu);
  return StageCosts(scenario, scenario.phases[0], model, true, 1);
}
double in_us(Tick t) { return to_seconds(t).in(us); }

// The trace's configuration with every rank alike.
Scenario balanced_chunk() {
  Scenario scenario = shipped_scenario("deepseek-v3-chunk");
  scenario.phases[0].routing.kind = RoutingKind::balanced;
  return scenario;
}

constexpr double kNic = 0.8927 * 50e3, kNvlink = 0.6694 * 200e3;  // bytes a microsecond

}  // namespace

TEST_CASE("stage costs: transfers of a V3 layer by hand", "[simulator]") {
  const StageCosts costs = costs_of(balanced_chunk());
  const LayerLoad& load = costs.load(0, 0, 0, 0);
  // 3.97 nodes a token, 7/8 of them remote; DeepEP rows of 7472 and 14384 bytes.
  const double rows = 4096 * costs.sampler()->nodes_per_token() * 7 / 8;
  CHECK(load.nic_rows == Approx(rows));
  const double dispatch = rows * 7472 / kNic, combine = rows * 14384 / kNic;
  CHECK(in_us(costs.dispatch_ticks(load, false, false)) == Approx(97 + dispatch));
  CHECK(in_us(costs.dispatch_ticks(load, true, false)) == Approx(97 + dispatch / 0.547));
  CHECK(in_us(costs.combine_ticks(load, false)) == Approx(combine));
  CHECK(in_us(costs.combine_ticks(load, true)) == Approx(combine / 0.745));
  // Gradients need no layout, but a cast: on 20 SMs at 13 GB/s each beside compute, on all alone.
  const double cast_bytes = 3. * 4096 * 7168;
  const double beside = cast_bytes / (20 * 13e3);
  const MemoryModel cast = *balanced_chunk().profile.memory[static_cast<std::size_t>(Kernel::cast)];
  const double alone = cast.overhead.in(us) + cast_bytes / (cast.bandwidth->in(MB / s) * 132 / 112);
  CHECK(in_us(costs.dispatch_ticks(load, true, true)) == Approx(beside + dispatch / 0.684));
  CHECK(in_us(costs.dispatch_ticks(load, false, true)) == Approx(alone + dispatch));
  // The trace's medians (README, section 3); the overlap factors were fitted to its GB/s.
  CHECK(beside == Approx(340).epsilon(0.01));
  CHECK(dispatch / 0.547 == Approx(4312.5).epsilon(0.02));
  CHECK(dispatch / 0.684 == Approx(3447.5).epsilon(0.02));
  CHECK(combine / 0.745 == Approx((6517.5 + 6027) / 2).epsilon(0.02));
}

TEST_CASE("stage costs: messages and the start of a chunk", "[simulator]") {
  const StageCosts costs = costs_of(small_v3());
  const double bytes = 2. * 4096 * 7168;
  CHECK(in_us(costs.send_ticks()) == Approx(3.7 + bytes / kNic));
  CHECK(in_us(costs.startup_ticks()) == Approx(862));
  // A whole pipeline inside one node sends over NVLink.
  const StageCosts node = costs_of(small_v3({{"/cluster/num_nodes", "1"},
                                             {"/plan/dp", "2"},
                                             {"/plan/ep", "2"},
                                             {"/phases/0/batch", "16"}}));
  CHECK(in_us(node.send_ticks()) == Approx(3.33 + bytes / kNvlink));
}

TEST_CASE("stage costs: BF16 sends wider rows and casts nothing", "[simulator]") {
  Scenario scenario = balanced_chunk();
  scenario.phases[0].plan.recipe = Recipe::bf16;
  const StageCosts costs = costs_of(scenario);
  const LayerLoad& load = costs.load(0, 0, 0, 0);
  const double dispatch = static_cast<double>(load.nic_rows) * 14416 / kNic;
  CHECK(in_us(costs.dispatch_ticks(load, false, false)) == Approx(97 + dispatch));
  CHECK(in_us(costs.dispatch_ticks(load, false, true)) == Approx(dispatch));
}

TEST_CASE("stage costs: parameters of a stage add up to the model", "[simulator]") {
  const Scenario scenario = shipped_scenario("deepseek-v3-pretrain");
  const ParallelPlan& plan = scenario.phases[0].plan;
  double all = 0;
  for (const auto& stage : stage_layers(plan, scenario.model)) {
    const StageParameters p = stage_parameters(scenario.model, plan, stage);
    all += p.other + 64 * p.expert;
  }
  const ParameterCounts counts = count_parameters(scenario.model);
  CHECK(all == Approx(static_cast<double>(counts.total() + counts.mtp)).epsilon(1e-12));
}

TEST_CASE("optimizer: a middle rank of V3 by hand", "[simulator]") {
  const Scenario scenario = shipped_scenario("deepseek-v3-pretrain");
  const CostModel model(scenario.profile, scenario.cluster.gpu);
  const auto times = optimizer_times(scenario, scenario.phases[0], model, {});
  REQUIRE(times.size() == 16);
  // Ranks 5 holds stages 5 and 10, four MoE layers each: four of 256 experts a layer, and the rest.
  const double expert = 4. * 4 * 44040192;
  const double other = 4. * (187105280 + 16384 + 256 * 7168 + 256 + 44040192);
  // The rest has 2 x 128 replicas, 8 a node: NVLink binds. An expert has 2 groups x 2 directions.
  const double ring_other = 255. / 256 * other / (kNvlink * 1e6),
               ring_expert = 3. / 4 * expert / (kNic * 1e6);
  const double latency_other = 31 * 3.7e-6 + 7 * 3.33e-6, latency_expert = 3 * 3.7e-6;
  const double latency = latency_other + latency_expert;
  CHECK(times[5].reduce_gradients.in(s) == Approx(2 * (4 * (ring_other + ring_expert) + latency)));
  CHECK(times[5].gather_weights.in(s) == Approx(2 * (2 * (ring_other + ring_expert) + latency)));
  // Adam on the shard: FP32 gradient, master read and written, two BF16 moments read and written,
  // BF16 weight written; then FP32 gradients zeroed and FP8 weights made of all that is local.
  const double shard = 2 * (other / 256 + expert / 4), local = 2 * (other + expert);
  const double bytes = shard * (4 + 8 + 8 + 2) + local * (4 + 3);
  CHECK(times[5].update.in(us) == Approx(3 * 5.4 + bytes / 3.35e6));
  // The norm: one pass over the shard, then 11 doublings to 2,048 ranks, there and back.
  CHECK(times[5].gradient_norm.in(us) == Approx(5.4 + 4 * shard / 3.35e6 + 2 * 11 * 3.7));
  // "Insights into DeepSeek-V3", Table 4: 0.29 s. Predicted from datasheets and DeepEP rates alone.
  CHECK(times[5].total().in(s) == Approx(0.29).epsilon(0.25));
  CHECK(times[5].total() == times[10].total());
}
