// The critical path of a step: without gaps, as long as the step, and on what is known to be slow.
#include <algorithm>
#include <numeric>

#include "tests/catch.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

CriticalPath explained(const Scenario& scenario, bool fold = true) {
  SimulationOptions options;
  options.explain = true;
  options.allow_folding = fold;
  const StepResult result = simulate_first_phase(scenario, options);
  REQUIRE(result.critical_path);
  const CriticalPath& path = *result.critical_path;
  // Segments follow each other from the beginning to the end; shares add up to the same.
  Tick at = 0;
  for (const PathSegment& segment : path.segments) {
    CHECK(segment.start == at);
    at = segment.end;
  }
  CHECK(at == result.timeline.step);
  Tick sum = 0;
  for (const CriticalPath::Share& share : path.shares) sum += share.time;
  CHECK(sum == result.timeline.step);
  return path;
}

Tick time_of(const CriticalPath& path, const std::string& kind) {
  for (const CriticalPath::Share& share : path.shares)
    if (share.kind == kind) return share.time;
  return 0;
}

}  // namespace

TEST_CASE("critical path: it adds up to the step under every schedule", "[critical_path]") {
  explained(small_v3());
  explained(small_v3(with_schedule("1f1b")));
  explained(sampled_small_v3(), false);
}

TEST_CASE("critical path: it does not change the step", "[critical_path]") {
  SimulationOptions options;
  options.explain = true;
  const Scenario scenario = sampled_small_v3();
  CHECK(simulate_first_phase(scenario, options).timeline.step ==
        simulate_first_phase(scenario).timeline.step);
}

TEST_CASE("critical path: 1F1B with one slow stage runs on it between fill and drain",
          "[critical_path]") {
  // 17 of 20 layers on stage 1: from the first chunk that reaches it to the last that leaves it
  // that stage is never idle, so the path stays there.
  const CriticalPath path = explained(small_v3({{"/plan/schedule", "\"1f1b\""},
                                                {"/model/num_hidden_layers", "20"},
                                                {"/plan/layers_per_stage", "[1, 17, 1, 1]"}}));
  Tick on_slow = 0, total = 0;
  for (const PathSegment& segment : path.segments) {
    (segment.pp == 1 ? on_slow : total) += segment.end - segment.start;
  }
  total += on_slow;
  CHECK(static_cast<double>(on_slow) > 0.8 * static_cast<double>(total));
  CHECK(path.segments.front().pp == 0);
  CHECK(path.segments.front().reason == "the step begins");
  CHECK(path.segments[1].reason == "PP(F) of pp rank 0 arrived");
  CHECK(path.segments.back().phase == SchedulePhase::optimizer);
}

TEST_CASE("critical path: a slow network shows as transfers", "[critical_path]") {
  const CriticalPath fast = explained(small_v3(with_schedule("1f1b"))),
                     slow = explained(small_v3({{"/plan/schedule", "\"1f1b\""},
                                                {"/cluster/nic_bandwidth", "\"5 GB/s\""}}));
  CHECK(time_of(slow, "dispatch(F)") > 5 * time_of(fast, "dispatch(F)"));
  CHECK(time_of(slow, "mlp(F)") <= time_of(fast, "mlp(F)"));
}
