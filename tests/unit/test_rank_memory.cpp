// Memory over a step against the peak table, and advice against the scenario it was given for.
#include <algorithm>
#include <string>
#include <vector>

#include "sim/memory_advice.hpp"
#include "sim/rank_memory.hpp"
#include "tests/catch.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

TEST_CASE("memory over a step: its maximum is the table's, when and where it says",
          "[rank_memory]") {
  for (const char* schedule : {"1f1b", "gpipe", "zb_h1", "zb_h2", "dualpipe"}) {
    const Scenario s = small_v3(with_schedule(schedule));
    const TrainingPhase& phase = s.phases[0];
    const StepResult result = simulate_first_phase(s);
    const auto memory = memory_of(s, phase, result.mean_load);
    const auto curves = memory_curves(s, phase, memory, result);
    REQUIRE(curves.size() == 4);
    for (const MemoryCurve& curve : curves) {
      const auto rank = static_cast<std::size_t>(curve.pp_rank);
      CAPTURE(schedule, rank);
      const auto steps = schedule_of(phase.plan.schedule).steps(pipeline_run(phase), curve.pp_rank);
      Bytes most;
      Tick last = 0;
      for (const MemoryPoint& point : curve.points) {
        most = std::max(most, point.bytes);
        CHECK(point.at >= last);
        last = point.at;
      }
      const double total = memory[rank].total().in(B);
      CHECK(most.in(B) == Approx(total).epsilon(1e-12));
      CHECK(curve.peak.bytes.in(B) == Approx(total).epsilon(1e-12));
      CHECK(curve.peak.at == result.step_times[rank][curve.peak_step].start);
      CHECK(steps[curve.peak_step].f == curve.peak_of.f);
      // Empty at both ends: all but activations.
      CHECK(curve.points.front().bytes.in(B) == Approx(curve.points.back().bytes.in(B)));
      CHECK(last == result.step_times[rank].back().end);
      if (std::string(schedule) == "1f1b") {
        // pp - rank chunks are alive first when the warm-up ends.
        CHECK(curve.peak_step == 3 - rank);
        CHECK(curve.peak_of.f.microbatch == static_cast<std::int32_t>(3 - rank));
      }
    }
  }
}

TEST_CASE("memory over a step: thinned, but with its maxima", "[rank_memory]") {
  std::vector<MemoryPoint> points;
  for (Tick t = 0; t < 1001; ++t) points.push_back({t, static_cast<double>(t * 7919 % 1001) * B});
  const auto kept = thinned(points, 200);
  CHECK(kept.size() <= 200);
  CHECK(kept.size() > 150);
  CHECK(std::max_element(kept.begin(), kept.end(), [](auto& a, auto& b) {
          return a.bytes < b.bytes;
        })->bytes.in(B) == 1000);
  CHECK(std::is_sorted(kept.begin(), kept.end(), [](auto& a, auto& b) { return a.at < b.at; }));
  CHECK(thinned({{3, 5 * B}}, 200).size() == 1);
}

TEST_CASE("memory advice: a changed scenario holds what was promised", "[rank_memory]") {
  for (const char* schedule : {"1f1b", "dualpipe"}) {
    Changes base = with_schedule(schedule);
    base.insert(
        base.end(),
        {{"/plan/moments", "\"fp32\""}, {"/plan/microbatch", "2"}, {"/phases/0/batch", "512"}});
    const Scenario s = small_v3(base);
    const RankLoad load = mean_load(s, s.phases[0]);
    CHECK(load == simulate_first_phase(s).mean_load);
    const auto memory = memory_of(s, s.phases[0], load);
    const auto advice = memory_advice(s, s.phases[0], memory, load);
    std::vector<std::string> changes;
    Bytes last = 1e6 * GB;
    for (const MemoryAdvice& row : advice) {
      CAPTURE(schedule, row.change);
      changes.push_back(row.change);
      CHECK(row.saved <= last);
      CHECK(row.saved > 0 * B);
      CHECK((row.saved + row.total).in(B) == Approx(fullest(memory).in(B)));
      CHECK(row.fits == (row.total <= s.cluster.gpu.hbm));
      last = row.saved;
      Changes changed = base;
      for (const auto& [key, text] : row.set) changed.emplace_back("/plan/" + key, text);
      const Scenario then = small_v3(changed);
      const auto promised = memory_of(then, then.phases[0], simulate_first_phase(then).mean_load);
      CHECK(fullest(promised).in(B) == Approx(row.total.in(B)).epsilon(1e-12));
    }
    auto has = [&](const std::string& change) {
      return std::find(changes.begin(), changes.end(), change) != changes.end();
    };
    CHECK(has("zero_stage 2"));
    CHECK(has("microbatch 1"));
    CHECK(has("moments \"bf16\""));
    CHECK(has("gradients \"bf16\""));
  }
}
