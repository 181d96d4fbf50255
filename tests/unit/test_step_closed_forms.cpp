// A simulated step against closed forms and against the longest path through its schedule: exact to
// the tick where nothing competes, and halved where every rate is doubled.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "sim/stage_costs.hpp"
#include "tests/catch.hpp"
#include "tests/longest_path.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

std::size_t at(Kernel kernel) { return static_cast<std::size_t>(kernel); }

MemoryModel takes_no_time() {
  MemoryModel memory;
  memory.sms = 112;
  return memory;
}

// Transfers take no time at all, latencies and the casts before them included.
Scenario without_communication(Scenario s) {
  s.cluster.nic_bandwidth = 1e20 * TB_per_s;
  s.cluster.gpu.nvlink_bandwidth = 1e20 * TB_per_s;
  s.cluster.nic_latency = s.cluster.nvlink_latency = 0 * moesim::s;
  s.profile.gpu.nvlink_bandwidth = s.cluster.gpu.nvlink_bandwidth;
  s.profile.comm.layout = 0 * moesim::s;
  s.profile.comm.cast_per_sm = 1e20 * TB_per_s;
  s.profile.comm.dispatch_per_sm = s.profile.comm.combine_per_sm = 1e20 * TB_per_s;
  s.profile.memory[at(Kernel::cast)] = takes_no_time();
  return s;
}

// Only FP8 GEMMs and attention take time, so that embedding and head, which have neither, leave the
// ends of the pipeline as long as its middle.
Scenario with_equal_stages(Scenario s) {
  for (GpuSpec* gpu : {&s.cluster.gpu, &s.profile.gpu}) {
    gpu->peak_bf16 = 1e20 * TFLOP_per_s;
    gpu->hbm_bandwidth = 1e20 * TB_per_s;
  }
  for (auto& memory : s.profile.memory)
    if (memory) *memory = takes_no_time();
  s.profile.gemm[at(Kernel::gemm_bf16)].reset();
  s.profile.launch_gap = s.profile.chunk_startup = 0 * moesim::s;
  return s;
}

// The parts of a chunk on a stage, from the same costs that the simulator looks up.
class Stages {
 public:
  explicit Stages(const Scenario& s)
      : costs_(s, s.phases[0], CostModel(s.profile, s.cluster.gpu), true, 1) {}

  const StageCosts& costs() const { return costs_; }
  std::size_t num_layers(std::int64_t stage) const { return layers(stage).size(); }
  bool moe(std::int64_t stage, std::size_t i) const { return layers(stage)[i] == LayerKind::moe; }
  // Balanced routing: every load is alike.
  const LayerLoad& load(std::int64_t stage) const { return costs_.load(stage, 0, 0, 0); }
  Tick block(std::int64_t stage, std::size_t i, Block block, bool overlapped = false) const {
    const LayerKind kind = layers(stage)[i];
    const std::uint32_t load_class = kind == LayerKind::moe ? load(stage).load_class : 0;
    return costs_.blocks()[costs_.block_index(kind, block, load_class, overlapped)].duration;
  }
  Tick sum(std::int64_t stage, const std::vector<Block>& blocks, bool overlapped = false) const {
    Tick ticks = 0;
    for (std::size_t i = 0; i < num_layers(stage); ++i)
      for (const Block b : blocks) ticks += block(stage, i, b, overlapped);
    return ticks;
  }
  // A step when transfers take no time.
  Tick step(StepKind kind, std::int64_t f, std::int64_t b) const {
    using enum Block;
    const std::vector<Block> forward = {attention_f, ffn_f}, input = {ffn_b, attention_b};
    const std::vector<Block> weight = {ffn_w, attention_w};
    const Tick start = costs_.startup_ticks();
    switch (kind) {
      case StepKind::forward: return start + sum(f, forward);
      case StepKind::backward: return start + sum(b, input) + sum(b, weight);
      case StepKind::backward_input: return start + sum(b, input);
      case StepKind::weight: return sum(b, weight);
      case StepKind::forward_backward:
        return start + sum(f, forward, true) + sum(b, input, true) + sum(b, weight, true);
    }
    throw std::logic_error("no such step");
  }
  // A full backward's message leaves before the first layer's attention weight gradients; an
  // overlapped pair's messages leave at its end.
  Tick lead(StepKind kind, std::int64_t b) const {
    return kind == StepKind::backward ? block(b, 0, Block::attention_w) : 0;
  }

 private:
  const std::vector<LayerKind>& layers(std::int64_t stage) const {
    return costs_.stages()[static_cast<std::size_t>(stage)];
  }
  StageCosts costs_;
};

// What follows the last chunk when the reduction takes no time.
Tick update_ticks(const StepResult& result) {
  Tick longest = 0;
  for (const OptimizerTimes& o : result.optimizer) {
    CHECK(to_tick(o.reduce_gradients) == 0);
    CHECK(to_tick(o.gather_weights) == 0);
    longest = std::max(longest, to_tick(o.gradient_norm) + to_tick(o.update));
  }
  return longest;
}

Changes batch_of(const std::string& schedule, int microbatches) {
  Changes changes = with_schedule(schedule);
  changes.emplace_back("/phases/0/batch", std::to_string(16 * microbatches));
  return changes;
}

}  // namespace

TEST_CASE("step: 1F1B on equal stages is its closed form, to the tick", "[simulator]") {
  for (const int microbatches : {1, 3, 4, 20}) {
    Changes changes = batch_of("1f1b", microbatches);
    changes.emplace_back("/model/first_k_dense_replace", "0");
    changes.emplace_back("/model/num_nextn_predict_layers", "0");
    changes.emplace_back("/plan/layers_per_stage", "[2, 2, 2, 2]");
    const Scenario small = with_equal_stages(without_communication(small_v3(changes)));
    const Stages stages(small);
    const Tick f = stages.step(StepKind::forward, 1, -1),
               b = stages.step(StepKind::backward, -1, 1);
    for (const std::int64_t stage : {0, 2, 3}) {
      REQUIRE(stages.step(StepKind::forward, stage, -1) == f);
      REQUIRE(stages.step(StepKind::backward, -1, stage) == b);
    }
    REQUIRE(f > to_tick(1 * ms));
    const StepResult result = simulate_first_phase(small);
    // (M + pp - 1)(F + B), less what each of the three messages saves by leaving early.
    const Tick lead = stages.lead(StepKind::backward, 1);
    const Tick closed = (microbatches + 3) * (f + b) - 3 * lead;
    CHECK(result.timeline.step == closed + update_ticks(result));
    CHECK(lead < b / 10);
  }
}

TEST_CASE("step: unequal stages take the longest path, to the tick", "[simulator]") {
  struct Row {
    const char* name;
    ScheduleKind kind;
    int microbatches;
    std::int64_t virtual_stages = 1;
    bool overlap = false;
  };
  const Row rows[] = {{"gpipe", ScheduleKind::gpipe, 6},
                      {"1f1b", ScheduleKind::one_f_one_b, 2},
                      {"1f1b", ScheduleKind::one_f_one_b, 12},
                      {"1f1b", ScheduleKind::one_f_one_b, 3, 1, true},
                      {"1f1b", ScheduleKind::one_f_one_b, 12, 1, true},
                      {"interleaved_1f1b", ScheduleKind::interleaved_1f1b, 4, 2},
                      {"interleaved_1f1b", ScheduleKind::interleaved_1f1b, 12, 2},
                      {"interleaved_1f1b", ScheduleKind::interleaved_1f1b, 12, 2, true},
                      {"zb_h1", ScheduleKind::zb_h1, 2},
                      {"zb_h1", ScheduleKind::zb_h1, 12},
                      {"zb_h2", ScheduleKind::zb_h2, 12},
                      {"zb_v", ScheduleKind::zb_v, 3},
                      {"zb_v", ScheduleKind::zb_v, 12},
                      {"dualpipe", ScheduleKind::dualpipe, 8},
                      {"dualpipe", ScheduleKind::dualpipe, 20},
                      {"dualpipe_v", ScheduleKind::dualpipe_v, 8},
                      {"dualpipe_v", ScheduleKind::dualpipe_v, 13}};
  for (const Row& row : rows) {
    INFO(row.name << " " << row.microbatches << " " << row.overlap);
    // Three dense layers on the first stage; head and MTP on the last; start-up and gaps counted.
    Changes changes = batch_of(row.name, row.microbatches);
    changes.emplace_back("/plan/virtual_stages", std::to_string(row.virtual_stages));
    changes.emplace_back("/plan/overlap_expert_comm", row.overlap ? "true" : "false");
    if (pipeline_layout(row.kind, 4, row.virtual_stages).num_stages() == 8)
      changes.emplace_back("/plan/layers_per_stage", "[1, 1, 1, 1, 1, 1, 1, 1]");
    changes.emplace_back("/plan/fallback_schedule", "\"" + std::string(row.name) + "\"");
    const Scenario small = without_communication(small_v3(changes));
    const Stages stages(small);
    const auto path =
        LongestPathSolver(
            row.kind,
            {4, row.microbatches, row.virtual_stages, row.overlap},
            [&](StepKind k, std::int64_t f, std::int64_t b) { return stages.step(k, f, b); },
            [&](StepKind k, std::int64_t b) { return stages.lead(k, b); })
            .solve();
    const StepResult result = simulate_first_phase(small);
    CHECK(result.timeline.step == path.makespan + update_ticks(result));
    // And every rank's work is what its list adds up to.
    for (const RankTimes& rank : result.timeline.ranks) {
      Tick work = 0;
      for (std::size_t c = 0; c < kNumCategories; ++c) {
        const auto category = static_cast<Category>(c);
        if (category != Category::bubble && category != Category::optimizer)
          work += rank.by_category[c];
      }
      CHECK(work == path.work[static_cast<std::size_t>(rank.pp)]);
      CHECK(rank.by_category[static_cast<std::size_t>(Category::exposed_comm)] == 0);
      CHECK(rank.by_category[static_cast<std::size_t>(Category::peer_wait)] == 0);
    }
  }
}

TEST_CASE("step: one microbatch is a chain of kernels and transfers, to the tick", "[simulator]") {
  using enum Block;
  const Scenario small = small_v3(batch_of("1f1b", 1));
  const Stages stages(small);
  const StageCosts& costs = stages.costs();
  Tick chain = 0;
  Tick exposed_last = costs.send_ticks();    // the last stage waits for its one message
  for (std::int64_t st = 0; st < 4; ++st) {  // forward: every transfer is waited for
    chain += costs.startup_ticks();
    for (std::size_t i = 0; i < stages.num_layers(st); ++i) {
      chain += stages.block(st, i, attention_f) + stages.block(st, i, ffn_f);
      if (!stages.moe(st, i)) continue;
      const Tick transfers = costs.dispatch_ticks(stages.load(st), false, false) +
                             costs.combine_ticks(stages.load(st), false);
      CHECK(transfers > 0);
      chain += transfers;
      if (st == 3) exposed_last += transfers;
    }
    if (st < 3) chain += costs.send_ticks();
  }
  for (std::int64_t st = 3; st >= 0; --st) {  // backward: weight gradients hide transfers
    chain += costs.startup_ticks();
    Tick attention_weight = 0;  // of the layer before, still to run
    for (std::size_t i = stages.num_layers(st); i-- > 0;) {
      const bool moe = stages.moe(st, i);
      const Tick gradients_out = moe ? costs.dispatch_ticks(stages.load(st), false, true) : 0;
      const Tick gradients_back = moe ? costs.combine_ticks(stages.load(st), false) : 0;
      const Tick ffn_weight = stages.block(st, i, ffn_w);
      chain += std::max(gradients_out, attention_weight) + stages.block(st, i, ffn_b);
      chain += std::max(gradients_back, ffn_weight) + stages.block(st, i, attention_b);
      if (st == 3)
        exposed_last += std::max<Tick>(0, gradients_out - attention_weight) +
                        std::max<Tick>(0, gradients_back - ffn_weight);
      attention_weight = stages.block(st, i, attention_w);
    }
    chain += st > 0 ? costs.send_ticks() : attention_weight;
  }
  const StepResult result = simulate_first_phase(small);
  Tick reduced = 0, rest = 0;
  for (const OptimizerTimes& o : result.optimizer) {
    rest = std::max(rest, to_tick(o.gradient_norm) + to_tick(o.update) + to_tick(o.gather_weights));
    reduced = std::max(reduced, to_tick(o.reduce_gradients));
  }
  // The first stage ends last; a later stage may still reduce more. Here the first is also longest.
  REQUIRE(to_tick(result.optimizer[0].reduce_gradients) == reduced);
  CHECK(result.timeline.step == chain + reduced + rest);
  const auto exposed = static_cast<std::size_t>(Category::exposed_comm);
  CHECK(result.timeline.ranks[3].by_category[exposed] == exposed_last);
}

TEST_CASE("step: an overlapped pair is as long as its kernels once transfers hide", "[simulator]") {
  Scenario pair = without_communication(shipped_scenario("deepseek-v3-chunk"));
  pair.phases[0].routing = {RoutingKind::balanced, 4, {}, {}};
  const Stages stages(pair);
  const Tick expected = stages.step(StepKind::forward_backward, 0, 0);
  CHECK(simulate_first_phase(pair).timeline.step == expected);
  // And no shorter with real transfers.
  Scenario real = shipped_scenario("deepseek-v3-chunk");
  real.profile.memory[at(Kernel::cast)] = pair.profile.memory[at(Kernel::cast)];
  real.phases[0].routing = pair.phases[0].routing;
  CHECK(simulate_first_phase(real).timeline.step >= expected);
}

TEST_CASE("step: twice every rate and half every latency take half the time", "[simulator]") {
  for (const char* schedule : {"dualpipe", "1f1b"}) {
    const Scenario one = sampled_small_v3(with_schedule(schedule));
    Scenario two = one;
    for (GpuSpec* gpu : {&two.cluster.gpu, &two.profile.gpu}) {
      gpu->peak_fp8 = 2 * *gpu->peak_fp8;
      gpu->peak_bf16 = 2 * gpu->peak_bf16;
      gpu->hbm_bandwidth = 2 * gpu->hbm_bandwidth;
      gpu->nvlink_bandwidth = 2 * gpu->nvlink_bandwidth;
    }
    two.cluster.nic_bandwidth = 2 * two.cluster.nic_bandwidth;
    for (Seconds* t : {&two.cluster.nic_latency,
                       &two.cluster.nvlink_latency,
                       &two.profile.comm.layout,
                       &two.profile.launch_gap,
                       &two.profile.chunk_startup,
                       &two.profile.comm.low_latency_overhead})
      *t = *t / 2;
    for (Bandwidth* rate : {&two.profile.comm.cast_per_sm,
                            &two.profile.comm.dispatch_per_sm,
                            &two.profile.comm.combine_per_sm})
      *rate = 2 * *rate;
    for (auto& g : two.profile.gemm) {
      if (!g) continue;
      g->load = 2 * g->load;
      g->store = 2 * g->store;
      g->overhead = g->overhead / 2;
      g->fill = g->fill / 2;
    }
    for (auto& a : two.profile.attention) {
      if (!a) continue;
      a->rate = 2 * a->rate;
      a->overhead = a->overhead / 2;
      if (a->bandwidth) a->bandwidth = 2 * *a->bandwidth;
    }
    for (auto& m : two.profile.memory) {
      if (!m) continue;
      if (m->bandwidth) m->bandwidth = 2 * *m->bandwidth;
      m->overhead = m->overhead / 2;
    }
    for (GemmPoint& p : two.profile.points) p.rate = 2 * p.rate;
    const double slow = static_cast<double>(simulate_first_phase(one).timeline.step);
    const double fast = static_cast<double>(simulate_first_phase(two).timeline.step);
    // Every block is rounded to a tick: some hundreds of them in 1e12.
    CHECK(std::abs(slow - 2 * fast) <= 3000);
  }
}
