// A simulated pair of chunks, operation by operation: the parts add up to what the timeline says.
#include <set>

#include "model/block_mapping.hpp"
#include "sim/pair_times.hpp"
#include "sim/run.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

const BlockTime& block(const PairTimes& times, const std::string& name) {
  for (const BlockTime& found : times.blocks)
    if (found.name == name) return found;
  FAIL("no block " << name);
  return times.blocks.front();
}

bool has_op(const BlockTime& block, const std::string& name) {
  for (const OpTime& op : block.ops)
    if (op.name == name) return true;
  return false;
}

void check_sums(const Scenario& scenario) {
  const PairTimes times = pair_times(scenario, 1);
  const Seconds gap = scenario.profile.launch_gap;
  Seconds compute;
  for (const BlockTime& b : times.blocks) {
    Seconds ops;
    double calls = 0;
    for (const OpTime& op : b.ops) {
      ops += op.time;
      calls += op.calls;
    }
    CAPTURE(b.name);
    CHECK(ops.in(us) == Approx(b.kernels.in(us)));
    // The timeline counts in picoseconds, and rounds each category of each block.
    CHECK((b.kernels + (b.is_transfer ? 0 : calls) * gap).in(ns) ==
          Approx(b.wall.in(ns)).margin(0.1));
    if (!b.is_transfer) compute += b.wall;
  }
  CHECK(times.span >= compute);
}

}  // namespace

TEST_CASE("pair times: operations, gaps and waits add up to the timeline", "[trace]") {
  check_sums(shipped_scenario("deepseek-v3-chunk"));
  check_sums(shipped_scenario("deepseek-v3-chunk", {{"/plan/recipe", "\"bf16\""}}));
}

TEST_CASE("pair times: with balanced routing nobody waits and layers are alike", "[trace]") {
  const Scenario scenario =
      shipped_scenario("deepseek-v3-chunk", {{"/routing", R"({"kind": "balanced"})"}});
  check_sums(scenario);
  const PairTimes times = pair_times(scenario, 1);
  for (const BlockTime& b : times.blocks)
    for (const OpTime& op : b.ops)
      if (op.is_wait) CHECK(op.time == Seconds());
  CHECK(std::set<RankLoad>(times.forward_loads.begin(), times.forward_loads.end()).size() == 1);
  // Every rank does the same, so the pair is the step.
  const RunResult run = run_scenario(scenario, {});
  CHECK(times.span.in(ns) == Approx(run.phases.front().step_time.in(ns)));
}

TEST_CASE("pair times: the recipe decides which operations there are", "[trace]") {
  const PairTimes fp8 = pair_times(shipped_scenario("deepseek-v3-chunk"), 1);
  CHECK(has_op(block(fp8, "combine(B)"), "cast_dY_fp8(comm stream)"));
  CHECK(has_op(block(fp8, "attn(F)"), "cast_x_1x128_fp8"));
  const PairTimes bf16 =
      pair_times(shipped_scenario("deepseek-v3-chunk", {{"/plan/recipe", "\"bf16\""}}), 1);
  CHECK_FALSE(has_op(block(bf16, "combine(B)"), "cast_dY_fp8(comm stream)"));
  CHECK_FALSE(has_op(block(bf16, "attn(F)"), "cast_x_1x128_fp8"));
}

TEST_CASE("pair times: the shipped mapping names the operations of the shipped pair", "[trace]") {
  const BlockMapping mapping = read_block_mapping(
      scenario_folder() / "traces" / "deepseek-v3-train.json", pair_block_names());
  const PairTimes times = pair_times(shipped_scenario("deepseek-v3-chunk"), 1);
  CHECK(mapping.blocks.size() == times.blocks.size());
  for (const MappedBlock& mapped : mapping.blocks) {
    std::set<std::string> ops;
    for (const MappedKernel& line : mapped.kernels) {
      CAPTURE(mapped.block, line.op);
      CHECK(has_op(block(times, mapped.block), line.op));
      ops.insert(line.op);
    }
    CHECK(ops.size() == block(times, mapped.block).ops.size());
  }
}
