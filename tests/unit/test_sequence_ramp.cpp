// Phases that begin with shorter sequences.
#include "model/sequence_ramp.hpp"
#include "sim/run.hpp"
#include "tests/catch.hpp"
#include "tests/small_scenario.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

TEST_CASE("sequence ramp: stretches open their phase and take their tokens from it") {
  const Scenario scenario = small_v3({{"/phases",
                                       R"([{"name": "long", "seq_len": 4096, "batch": 128,
                                            "tokens": "1B", "routing": {"kind": "sampled"},
                                            "seq_ramp": [{"seq_len": 1024, "tokens": "100M"},
                                                         {"seq_len": 2048, "batch": 256,
                                                          "tokens": "200M"}]},
                                           {"name": "stated", "gpu_hours": 5, "source": "a"}])"}});
  REQUIRE(scenario.phases.size() == 4);
  CHECK(scenario.phases[0].tokens == 7e8);
  const TrainingPhase &first = scenario.phases[2], &second = scenario.phases[3];
  CHECK(first.name == "long, sequence ramp 1/2");
  CHECK(first.ramp_of == std::size_t{0});
  CHECK(first.seq_len == 1024);
  CHECK(first.batch == 128);
  CHECK(first.tokens == 1e8);
  CHECK(first.routing.kind == RoutingKind::balanced);
  CHECK(scenario.phases[0].routing.kind == RoutingKind::sampled);
  CHECK(second.seq_len == 2048);
  CHECK(second.batch == 256);
  const RunResult run = run_scenario(scenario, {});
  CHECK(run.phases[2].num_steps == Approx(1e8 / (1024 * 128)));
  double hours = 0;
  for (const PhaseResult& phase : run.phases) hours += phase.gpu_hours;
  CHECK(run.gpu_hours == Approx(hours));
  CHECK(run.gpu_hours_simulated_main == Approx(hours - 5));
  // A quarter of the tokens in a step take less time, but more than a quarter of it.
  CHECK(run.phases[2].step_time < run.phases[0].step_time);
  CHECK(run.phases[2].step_time > 0.25 * run.phases[0].step_time);
}

TEST_CASE("sequence ramp: a batch too small for DualPipe falls back") {
  const Scenario scenario = small_v3({{"/phases",
                                       R"([{"name": "long", "seq_len": 4096, "batch": 128,
                                            "steps": 10, "routing": {"kind": "balanced"},
                                            "seq_ramp": [{"seq_len": 1024, "batch": 64,
                                                          "tokens": "1M"}]}])"}});
  CHECK(scenario.phases[0].plan.schedule == ScheduleKind::dualpipe);
  CHECK(scenario.phases[1].plan.schedule == scenario.phases[0].plan.fallback_schedule);
}

TEST_CASE("sequence ramp: wrong ones are refused with the arithmetic") {
  check_refusals(R"cases(
scenario.json: "steps": 10, => "steps": 10, "seq_ramp": [],
    scenario.json: /phases/1/seq_ramp: expected an array of at least one stretch, found an empty array
scenario.json: "steps": 10, => "steps": 10, "seq_ramp": [{"seq_len": 8192, "tokens": 1}],
    scenario.json: /phases/1/seq_ramp/0/seq_len: 8192 is not longer than the 0 before it and shorter than the phase's 8192
scenario.json: "steps": 10, => "steps": 10, "seq_ramp": [{"seq_len": 2048, "tokens": 1}, {"seq_len": 1024, "tokens": 1}],
    scenario.json: /phases/1/seq_ramp/1/seq_len: 1024 is not longer than the 2048 before it and shorter than the phase's 8192
scenario.json: "steps": 10, => "steps": 10, "seq_ramp": [{"seq_len": 2047, "tokens": 1}],
    scenario.json: /phases/1/seq_ramp/0/seq_len: 2047 is not divisible by cp 2
scenario.json: "steps": 10, => "steps": 10, "seq_ramp": [{"seq_len": 2048, "batch": 30, "tokens": 1}],
    scenario.json: /phases/1/seq_ramp/0/batch: 30 sequences are not divisible by dp 4
scenario.json: "steps": 10, => "steps": 10, "seq_ramp": [{"seq_len": 1024, "tokens": "2M"}, {"seq_len": 2048, "tokens": "1M"}],
    scenario.json: /phases/1/seq_ramp: 2000000 + 1000000 = 3000000 tokens are not fewer than the phase's 2621440
scenario.json: "steps": 10, => "steps": 10, "seq_ramp": [{"seq_len": 2048}],
    scenario.json: /phases/1/seq_ramp/0: missing key "tokens"
scenario.json: "steps": 10, => "steps": 10, "seq_ramp": [{"seq_len": 2048, "tokens": 1, "dp": 1}],
    scenario.json: /phases/1/seq_ramp/0: unknown key "dp"; known: batch, seq_len, tokens
scenario.json: "tokens": "1B", => "tokens": "1B", "seq_ramp": [{"seq_len": 2048, "tokens": 1}],
    scenario.json: /phases/0/seq_ramp: given beside "ramp"; expected one of the two (a stretch may have its batch)
)cases");
}
