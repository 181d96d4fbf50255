// Gradients and weights beside the chunks of a step: closed forms to the tick where one rank is a
// pipeline of its own, bounds where there are more, and folded runs against unfolded ones.
#include <algorithm>
#include <string>
#include <vector>

#include "sim/data_parallel_traffic.hpp"
#include "sim/optimizer_step.hpp"
#include "tests/catch.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

Changes joined(Changes a, const Changes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Eight dense layers on one stage, 64 replicas, two microbatches: nothing travels but parameters.
Scenario one_stage(const Changes& changes) {
  Scenario s = small_v3(joined({{"/plan/schedule", "\"1f1b\""},
                                {"/plan/fallback_schedule", "\"1f1b\""},
                                {"/plan/pp", "1"},
                                {"/plan/dp", "64"},
                                {"/plan/ep", "1"},
                                {"/plan/layers_per_stage", "[8]"}},
                               changes));
  s.model = shipped_model("llama-3.1-70b");
  s.model.num_layers = 8;
  s.model.layer_is_moe.assign(8, false);
  s.model.attention_window.assign(8, 0);
  return s;
}

// What one_stage is made of.
class OneStage {
 public:
  explicit OneStage(const Scenario& s)
      : costs_(s, s.phases[0], CostModel(s.profile, s.cluster.gpu), true, 1),
        traffic_(s, s.phases[0].plan, costs_.contention()),
        layers_(costs_.stages()[0]),
        parameters_(layer_parameters(s.model, s.phases[0].plan, layers_)) {}

  std::size_t num_layers() const { return layers_.size(); }
  Tick block(std::size_t i, Block block) const {
    return costs_.blocks()[costs_.block_index(layers_[i], block, 0, false)].duration;
  }
  Tick forward(std::size_t i) const {
    return block(i, Block::attention_f) + block(i, Block::ffn_f);
  }
  Tick backward(std::size_t i) const {
    return block(i, Block::ffn_b) + block(i, Block::ffn_w) + block(i, Block::attention_b) +
           block(i, Block::attention_w);
  }
  Tick startup() const { return costs_.startup_ticks(); }
  Tick chunks(int microbatches) const {
    Tick sum = 2 * startup();
    for (std::size_t i = 0; i < num_layers(); ++i) sum += forward(i) + backward(i);
    return microbatches * sum;
  }
  Tick gather(std::size_t i) const { return to_tick(traffic_.gather(parameters_[i])); }
  Tick reduce_all() const {
    StageParameters all;
    for (const StageParameters& p : parameters_) all += p;
    return to_tick(traffic_.reduce(all));
  }
  std::vector<Tick> buckets(const ParallelPlan& plan) const {
    return bucket_ticks(parameters_, plan.gradient_bytes, plan.gradient_bucket, traffic_);
  }

 private:
  StageCosts costs_;
  ParameterTraffic traffic_;
  std::vector<LayerKind> layers_;
  std::vector<StageParameters> parameters_;
};

// Norm, update and what is gathered after it.
Tick rest(const StepResult& result) {
  const OptimizerTimes& o = result.optimizer[0];
  return to_tick(o.gradient_norm) + to_tick(o.update) + to_tick(o.gather_weights);
}

Tick exposed(const StepResult& result) {
  return result.timeline.ranks[0].by_category[static_cast<std::size_t>(Category::exposed_comm)];
}

}  // namespace

TEST_CASE("gradients: buckets hold every byte, and leave when they are full", "[data_parallel]") {
  const Scenario s = small_v3(with_schedule("1f1b"));
  const ParallelPlan& plan = s.phases[0].plan;
  ParameterTraffic traffic(s, plan, {});
  const Bytes bucket = 40 * MB;  // ten million parameters
  const double full = 1e7;
  const auto ticks = bucket_ticks({{0, 3e6}, {2e7, 0}, {5e6, 25e6}, {0, 9e6}}, 4, bucket, traffic);
  const Tick dense = to_tick(traffic.reduce({0, full})),
             expert = to_tick(traffic.reduce({full, 0}));
  REQUIRE(ticks.size() == 4);
  CHECK(ticks[3] == 0);          // nine of ten
  CHECK(ticks[2] == 3 * dense);  // 34, and half an expert's
  CHECK(ticks[1] == 2 * expert);
  CHECK(ticks[0] == to_tick(traffic.reduce({5e6, 7e6})));  // the rest
  // ZeRO 0 sends them twice.
  ParallelPlan zero0 = plan;
  zero0.zero_stage = 0;
  CHECK(ParameterTraffic(s, zero0, {}).reduce({full, full}) == 2 * traffic.reduce({full, full}));
}

TEST_CASE("gradients: hidden but for what is left when the last layer ends, to the tick",
          "[data_parallel]") {
  for (const char* bucket : {"\"1 MB\"", "\"160 MB\"", "\"100 GB\""}) {
    for (const char* zero : {"0", "1"}) {
      CAPTURE(bucket, zero);
      const Scenario s = one_stage({{"/plan/overlap_grad_reduce", "true"},
                                    {"/plan/gradient_bucket", bucket},
                                    {"/plan/zero_stage", zero}});
      const OneStage stage(s);
      const auto buckets = stage.buckets(s.phases[0].plan);
      Tick now = stage.chunks(1) + stage.startup(), sent = 0;
      for (std::size_t i = 0; i < stage.num_layers(); ++i) now += stage.forward(i);
      now += stage.startup();
      for (std::size_t i = stage.num_layers(); i-- > 0;) {
        now += stage.backward(i);
        sent = std::max(sent, now) + buckets[i];
      }
      REQUIRE(now == stage.chunks(2));
      const StepResult result = simulate_first_phase(s);
      CHECK(result.timeline.step == sent + rest(result));
      CHECK(result.optimizer[0].reduce_gradients == 0 * moesim::s);
      // With a bucket that is never full, all are exposed: as without overlap.
      if (std::string(bucket) != "\"100 GB\"") continue;
      const StepResult plain = simulate_first_phase(one_stage({{"/plan/zero_stage", zero}}));
      CHECK(result.timeline.step == plain.timeline.step);
      CHECK(sent == stage.chunks(2) + stage.reduce_all());
    }
  }
}

TEST_CASE("ZeRO 2: without overlap every microbatch waits for its gradients, to the tick",
          "[data_parallel]") {
  const Scenario s = one_stage({{"/plan/zero_stage", "2"}});
  const OneStage stage(s);
  const StepResult result = simulate_first_phase(s);
  CHECK(result.timeline.step == stage.chunks(2) + 2 * stage.reduce_all() + rest(result));
  CHECK(exposed(result) == stage.reduce_all());  // the first; the last is the optimizer's
}

TEST_CASE("ZeRO 3: layers wait for their weights, or have them in time, to the tick",
          "[data_parallel]") {
  const Scenario plain = one_stage({{"/plan/zero_stage", "3"}});
  const OneStage stage(plain);
  Tick all = 0;
  for (std::size_t i = 0; i < stage.num_layers(); ++i) all += stage.gather(i);
  const StepResult waiting = simulate_first_phase(plain);
  CHECK(waiting.timeline.step ==
        stage.chunks(2) + 4 * all + 2 * stage.reduce_all() + rest(waiting));
  CHECK(exposed(waiting) == 4 * all + stage.reduce_all());
  CHECK(waiting.optimizer[0].gather_weights == 0 * moesim::s);

  // On NICs that are much faster than compute only the first layer's weights are waited for.
  Scenario fast = one_stage({{"/plan/zero_stage", "3"},
                             {"/plan/overlap_param_gather", "true"},
                             {"/plan/overlap_grad_reduce", "true"}});
  fast.cluster.nic_bandwidth = 10 * TB_per_s;
  fast.cluster.gpu.nvlink_bandwidth = fast.profile.gpu.nvlink_bandwidth = 10 * TB_per_s;
  fast.cluster.nic_latency = fast.cluster.nvlink_latency = 0 * moesim::s;
  const OneStage quick(fast);
  const StepResult ahead = simulate_first_phase(fast);
  CHECK(exposed(ahead) < all / 100);
  CHECK(exposed(ahead) >= quick.gather(0));
  CHECK(ahead.timeline.ranks[0].by_category[static_cast<std::size_t>(Category::bubble)] == 0);
}

TEST_CASE("weights: gathered under the first forward pass of the next step, to the tick",
          "[data_parallel]") {
  const Scenario s = one_stage({{"/plan/overlap_param_gather", "true"}});
  const OneStage stage(s);
  Tick now = stage.startup(), arrived = 0, waited = 0;
  for (std::size_t i = 0; i < stage.num_layers(); ++i) {
    arrived += stage.gather(i);
    waited += std::max<Tick>(0, arrived - now);
    now = std::max(now, arrived) + stage.forward(i);
  }
  const StepResult result = simulate_first_phase(s);
  CHECK(result.timeline.step == stage.chunks(2) + waited + stage.reduce_all() + rest(result));
  CHECK(exposed(result) == waited);
  CHECK(rest(result) ==
        to_tick(result.optimizer[0].gradient_norm) + to_tick(result.optimizer[0].update));
}

TEST_CASE("data-parallel traffic: folded and unfolded runs agree to the tick", "[data_parallel]") {
  for (const char* schedule : {"1f1b", "zb_h1", "dualpipe"})
    for (const char* zero : {"0", "1", "2", "3"})
      for (const char* overlap : {"false", "true"}) {
        CAPTURE(schedule, zero, overlap);
        const bool gathers = std::string(zero) != "0" && std::string(overlap) == "true";
        const Scenario s =
            small_v3(joined(with_schedule(schedule),
                            {{"/plan/zero_stage", zero},
                             {"/plan/overlap_grad_reduce", overlap},
                             {"/plan/overlap_param_gather", gathers ? "true" : "false"}}));
        SimulationOptions unfold;
        unfold.allow_folding = false;
        unfold.explain = true;  // whose path has no gaps
        const StepResult one = simulate_first_phase(s), all = simulate_first_phase(s, unfold);
        REQUIRE(one.folded);
        CHECK(one.timeline.step == all.timeline.step);
        for (const RankTimes& rank : all.timeline.ranks) {
          const RankTimes& fold = one.timeline.ranks[static_cast<std::size_t>(rank.pp)];
          CHECK(rank.by_category == fold.by_category);
          CHECK(rank.by_phase == fold.by_phase);
        }
        Tick path = 0;
        for (const auto& share : all.critical_path->shares) path += share.time;
        CHECK(path == all.timeline.step);
      }
}

TEST_CASE("data-parallel traffic: a rank's queue carries what its plan says, once",
          "[data_parallel]") {
  // Latencies off, so that times add up as bytes do: gradients of a stage once a step under ZeRO 1
  // and once a microbatch under ZeRO 2, whatever the buckets.
  Scenario s = one_stage({{"/plan/overlap_grad_reduce", "true"}});
  s.cluster.nic_latency = s.cluster.nvlink_latency = 0 * moesim::s;
  const OneStage stage(s);
  for (const double megabytes : {3.0, 77.0, 1e6}) {
    s.phases[0].plan.gradient_bucket = megabytes * MB;
    Tick sum = 0;
    for (const Tick t : stage.buckets(s.phases[0].plan)) sum += t;
    CHECK(static_cast<double>(sum) == Approx(static_cast<double>(stage.reduce_all())));
  }
  const StageCosts costs(s, s.phases[0], CostModel(s.profile, s.cluster.gpu), true, 1);
  for (const std::int64_t zero : {1, 2}) {
    s.phases[0].plan.zero_stage = zero;
    const PlannedSteps steps(s.phases[0].plan, pipeline_run(s.phases[0]), costs.stages(), false);
    DataParallelTraffic traffic(s, s.phases[0], costs, steps);
    REQUIRE(traffic.is_active());
    const auto& list = steps.of(0);
    for (std::uint32_t step = 0; step < list.size(); ++step)
      for (std::uint32_t op = 0; op < list[step].program->compute.size(); ++op)
        traffic.finished({0, step, op}, 0);
    CHECK(static_cast<double>(traffic.end(0)) ==
          Approx(static_cast<double>(zero == 1 ? 1 : 2) * static_cast<double>(stage.reduce_all())));
  }
}

TEST_CASE("data-parallel traffic: overlap hides, but never more than there is", "[data_parallel]") {
  for (const char* schedule : {"1f1b", "dualpipe"}) {
    CAPTURE(schedule);
    const StepResult plain = simulate_first_phase(small_v3(with_schedule(schedule)));
    const StepResult both = simulate_first_phase(small_v3(
        joined(with_schedule(schedule),
               {{"/plan/overlap_grad_reduce", "true"}, {"/plan/overlap_param_gather", "true"}})));
    Tick traffic = 0;
    for (const OptimizerTimes& o : plain.optimizer)
      traffic = std::max(traffic, to_tick(o.reduce_gradients) + to_tick(o.gather_weights));
    CHECK(both.timeline.step < plain.timeline.step);
    CHECK(both.timeline.step + traffic >= plain.timeline.step);
  }
}
