// GPipe, interleaved 1F1B, the zero-bubble schedules and DualPipeV: what their lists hold, and the
// time and the memory they take against the published formulas.
#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model/errors.hpp"
#include "reports/formulas.hpp"
#include "sim/schedule/schedule.hpp"
#include "tests/catch.hpp"
#include "tests/longest_path.hpp"

using namespace moesim;

namespace {

using Steps = std::vector<ScheduleStep>;

struct Case {
  ScheduleKind kind;
  PipelineRun run;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const std::int64_t pp : {1, 2, 3, 4, 8, 16})
    for (const std::int64_t microbatches :
         {std::int64_t{1}, pp, 2 * pp - 1, 2 * pp, 3 * pp, 5 * pp + 2}) {
      for (const ScheduleKind kind : {ScheduleKind::gpipe,
                                      ScheduleKind::zb_h1,
                                      ScheduleKind::zb_h2,
                                      ScheduleKind::zb_v,
                                      ScheduleKind::dualpipe_v})
        cases.push_back({kind, {pp, microbatches, 1, false}});
      for (const std::int64_t parts : {2, 3, 5})
        for (const bool overlap : {false, true})
          cases.push_back({ScheduleKind::interleaved_1f1b, {pp, microbatches, parts, overlap}});
      cases.push_back({ScheduleKind::one_f_one_b, {pp, microbatches, 1, true}});
    }
  cases.erase(
      std::remove_if(cases.begin(),
                     cases.end(),
                     [](const Case& c) { return !schedule_of(c.kind).refusal(c.run).empty(); }),
      cases.end());
  return cases;
}

std::string text_of(const Case& c) {
  return std::string(schedule_name(c.kind)) + " pp " + std::to_string(c.run.pp) + " microbatches " +
         std::to_string(c.run.num_microbatches) + " parts " + std::to_string(c.run.virtual_stages) +
         (c.run.overlap ? " overlapped" : "");
}

// b: the input gradient alone.
struct Durations {
  std::int64_t f, b, w, pair;
};
LongestPath solve(const Case& c, const Durations& d) {
  auto length = [&](StepKind kind, std::int64_t, std::int64_t) {
    switch (kind) {
      case StepKind::forward: return d.f;
      case StepKind::backward: return d.b + d.w;
      case StepKind::backward_input: return d.b;
      case StepKind::weight: return d.w;
      case StepKind::forward_backward: return d.pair;
    }
    throw std::logic_error("no such step");
  };
  return LongestPathSolver(c.kind, c.run, length).solve();
}
// Idle time until the last rank ends, and between a rank's own first and last step: the largest.
std::int64_t idle(const LongestPath& path) {
  return path.makespan - *std::min_element(path.work.begin(), path.work.end());
}
std::int64_t own_idle(const LongestPath& path) {
  std::int64_t most = 0;
  for (std::size_t r = 0; r < path.work.size(); ++r)
    most = std::max(most, path.end[r] - path.start[r] - path.work[r]);
  return most;
}

double alive(const Case& c, std::int64_t rank) {
  return peak_alive(schedule_of(c.kind).steps(c.run, rank),
                    std::vector<double>(static_cast<std::size_t>(c.run.virtual_stages + 1), 1.0));
}
double most_alive(const Case& c) {
  double most = 0;
  for (std::int64_t rank = 0; rank < c.run.pp; ++rank) most = std::max(most, alive(c, rank));
  return most;
}

// F and B of the whole backward.
double bubble_1f1b(std::int64_t pp, const Durations& d) {
  return one_f_one_b_bubble(pp, static_cast<double>(d.f), static_cast<double>(d.b + d.w));
}

const Durations kEqual = {10, 10, 10, 30};
const Durations kDurations[] = {
    kEqual, {10, 12, 8, 27}, {10, 10, 7, 24}, {10, 14, 6, 30}, {7, 20, 5, 28}};

}  // namespace

TEST_CASE("schedules: every part's chunks forward, back and weight once, in order", "[schedule]") {
  for (const Case& c : all_cases()) {
    CAPTURE(text_of(c));
    const PipelineLayout layout = pipeline_layout(c.kind, c.run.pp, c.run.virtual_stages);
    for (std::int64_t rank = 0; rank < c.run.pp; ++rank) {
      // [part] microbatches so far: forward, backward, weight
      std::map<std::int32_t, std::array<std::int32_t, 3>> done;
      bool in_order = true;
      auto next = [&](std::size_t what, const Chunk& chunk) {
        in_order = in_order && done[chunk.part][what]++ == chunk.microbatch;
      };
      for (const ScheduleStep& step : schedule_of(c.kind).steps(c.run, rank)) {
        if (step.kind == StepKind::forward || step.kind == StepKind::forward_backward)
          next(0, step.f);
        if (step.kind == StepKind::forward) continue;
        if (step.kind != StepKind::weight) next(1, step.b);
        if (step.kind != StepKind::backward_input) next(2, step.b);
        const auto& of_part = done[step.b.part];
        in_order = in_order && of_part[0] >= of_part[1] && of_part[1] >= of_part[2];
      }
      CHECK(in_order);
      REQUIRE(static_cast<std::int64_t>(done.size()) == layout.num_parts);
      const auto all = static_cast<std::int32_t>(c.run.num_microbatches);
      for (const auto& [part, counts] : done)
        CHECK(counts == std::array<std::int32_t, 3>{all, all, all});
    }
    CHECK(solve(c, kEqual).makespan > 0);  // throws where lists wait for each other
  }
}

TEST_CASE("schedules: orders by hand", "[schedule]") {
  auto text = [](const Case& c, std::int64_t rank) {
    std::string s;
    for (const ScheduleStep& step : schedule_of(c.kind).steps(c.run, rank)) {
      const bool f = step.kind == StepKind::forward || step.kind == StepKind::forward_backward;
      auto chunk = [&](const char* what, const Chunk& x) {
        s += what + std::to_string(x.microbatch) +
             std::string(static_cast<std::size_t>(x.part), '\'');
      };
      if (f) chunk("F", step.f);
      if (step.kind == StepKind::forward_backward) s += "+";
      if (step.kind == StepKind::backward || step.kind == StepKind::forward_backward)
        chunk("B", step.b);
      if (step.kind == StepKind::backward_input) chunk("I", step.b);
      if (step.kind == StepKind::weight) chunk("W", step.b);
      s += " ";
    }
    return s;
  };
  CHECK(text({ScheduleKind::gpipe, {2, 2}}, 1) == "F0 F1 B0 B1 ");
  CHECK(text({ScheduleKind::one_f_one_b, {2, 4, 1, true}}, 1) == "F0 F1+B0 F2+B1 F3+B2 B3 ");
  CHECK(text({ScheduleKind::one_f_one_b, {2, 4, 1, true}}, 0) == "F0 F1 F2 F3+B0 B1 B2 B3 ");
  CHECK(text({ScheduleKind::interleaved_1f1b, {2, 2, 2}}, 1) == "F0 F1 F0' B0' F1' B1' B0 B1 ");
  CHECK(text({ScheduleKind::zb_h1, {2, 3}}, 0) == "F0 F1 I0 W0 F2 I1 W1 I2 W2 ");
  CHECK(text({ScheduleKind::zb_h1, {2, 3}}, 1) == "F0 I0 F1 I1 W0 F2 I2 W1 W2 ");
  CHECK(text({ScheduleKind::zb_h2, {2, 4}}, 1) == "F0 I0 F1 I1 F2 I2 W0 F3 I3 W1 W2 W3 ");
  CHECK(text({ScheduleKind::zb_v, {2, 3}}, 1) ==
        "F0 F0' F1 F1' I0' W0' F2 I0 W0 F2' I1' W1' I1 I2' I2 W1 W2' W2 ");
}

TEST_CASE("schedules: GPipe takes the published time and holds every chunk", "[schedule]") {
  for (const Case& c : all_cases()) {
    if (c.kind != ScheduleKind::gpipe) continue;
    CAPTURE(text_of(c));
    for (const Durations& d : kDurations)
      CHECK(static_cast<double>(idle(solve(c, d))) == bubble_1f1b(c.run.pp, d));
    CHECK(most_alive(c) == static_cast<double>(c.run.num_microbatches));
  }
}

TEST_CASE("schedules: interleaved 1F1B takes the published time and memory", "[schedule]") {
  for (const Case& c : all_cases()) {
    if (c.kind != ScheduleKind::interleaved_1f1b) continue;
    CAPTURE(text_of(c));
    const std::int64_t pp = c.run.pp, parts = c.run.virtual_stages,
                       chunks = c.run.num_microbatches * parts, extra = c.run.overlap ? 1 : 0;
    // In chunks of 1/v of a rank: v pp (1 + (pp - 1) / (pp v)).
    CHECK(alive(c, 0) == static_cast<double>(std::min(parts * pp + pp - 1 + extra, chunks)));
    for (const Durations& d : kDurations) {
      const LongestPath path = solve(c, d);
      if (!c.run.overlap) {
        // (pp - 1)(F + B) / v with F + B of the whole rank: of one chunk.
        for (const std::int64_t work : path.work)
          CHECK(static_cast<double>(path.makespan - work) == bubble_1f1b(pp, d));
      } else {
        CHECK(static_cast<double>(path.makespan - path.work.back()) == bubble_1f1b(pp, d));
      }
    }
  }
}

TEST_CASE("schedules: 1F1B in pairs holds twice the chunks", "[schedule]") {
  for (const Case& c : all_cases()) {
    if (c.kind != ScheduleKind::one_f_one_b) continue;
    CAPTURE(text_of(c));
    const std::int64_t pp = c.run.pp, m = c.run.num_microbatches;
    for (std::int64_t rank = 0; rank < pp; ++rank)
      CHECK(alive(c, rank) == static_cast<double>(std::min(2 * (pp - rank), m)));
    for (const Durations& d : kDurations)
      CHECK(solve(c, d).makespan == pp * (d.f + d.b + d.w) + (m - 1) * d.pair);
  }
}

TEST_CASE("schedules: ZB-H1 takes the published time in 1F1B's memory", "[schedule]") {
  for (const Case& c : all_cases()) {
    if (c.kind != ScheduleKind::zb_h1 || c.run.num_microbatches < c.run.pp) continue;
    CAPTURE(text_of(c));
    for (std::int64_t rank = 0; rank < c.run.pp; ++rank)
      CHECK(alive(c, rank) == static_cast<double>(c.run.pp));
    for (const Durations& d : kDurations) {
      const auto formula = zb1p_bubble(c.run.pp,
                                       static_cast<double>(d.f),
                                       static_cast<double>(d.b + d.w),
                                       static_cast<double>(d.w));
      CHECK(formula == static_cast<double>((c.run.pp - 1) * (d.f + d.b - d.w)));
      CHECK(static_cast<double>(idle(solve(c, d))) == formula);
    }
  }
}

TEST_CASE("schedules: ZB-H2 takes the published time and memory", "[schedule]") {
  for (const Case& c : all_cases()) {
    if (c.kind != ScheduleKind::zb_h2 || c.run.num_microbatches < 2 * c.run.pp - 1) continue;
    CAPTURE(text_of(c));
    const std::int64_t pp = c.run.pp;
    for (std::int64_t rank = 0; rank < pp; ++rank)
      CHECK(alive(c, rank) == static_cast<double>(2 * pp - 1));
    for (const Durations& d : kDurations) {
      const LongestPath path = solve(c, d);
      const double formula = zb_h2_bubble(
          pp, static_cast<double>(d.f), static_cast<double>(d.b + d.w), static_cast<double>(d.w));
      CHECK(formula == static_cast<double>((pp - 1) * (d.f + d.b - 2 * d.w)));
      CHECK(static_cast<double>(own_idle(path)) == std::max(0.0, formula));
      // Until the last rank ends: as staggered as they start, at least.
      CHECK(idle(path) == (pp - 1) * std::max(d.f, d.f + d.b - 2 * d.w));
    }
    CHECK(own_idle(solve(c, kEqual)) == 0);
  }
}

TEST_CASE("schedules: ZB-V has no bubble in 1F1B's memory where F = B = W", "[schedule]") {
  for (const Case& c : all_cases()) {
    if (c.kind != ScheduleKind::zb_v || c.run.num_microbatches < 2 * c.run.pp - 1) continue;
    CAPTURE(text_of(c));
    const std::int64_t pp = c.run.pp;
    // Of half a rank each: pp microbatches of a whole one.
    for (std::int64_t rank = 0; rank < pp; ++rank)
      CHECK(alive(c, rank) == static_cast<double>(std::min(2 * pp, 2 * c.run.num_microbatches)));
    const LongestPath path = solve(c, kEqual);
    CHECK(own_idle(path) == 0);
    CHECK(idle(path) == (pp - 1) * kEqual.f);
    // Elsewhere: W <= F <= B.
    for (const Durations& d : {Durations{10, 12, 8, 0}, {10, 14, 6, 0}, {10, 20, 5, 0}})
      CHECK(own_idle(solve(c, d)) == 2 * (pp - 1) * (d.b - d.w));
  }
}

TEST_CASE("schedules: DualPipeV takes the published time and memory", "[schedule]") {
  for (const Case& c : all_cases()) {
    if (c.kind != ScheduleKind::dualpipe_v) continue;
    CAPTURE(text_of(c));
    const std::int64_t pp = c.run.pp;
    CHECK(most_alive(c) == static_cast<double>(2 * pp + 1));
    const double formula = dualpipe_bubble(2 * pp, 30, 20, 10);
    const LongestPath path = solve(c, kEqual);
    for (const std::int64_t work : path.work)
      CHECK(static_cast<double>(path.makespan - work) == formula);
    // A rank does what the same rank of DualPipe's first half does over twice the ranks.
    for (std::int64_t rank = 0; rank < pp; ++rank) {
      const Steps v = schedule_of(c.kind).steps(c.run, rank),
                  both = schedule_of(ScheduleKind::dualpipe)
                             .steps({2 * pp, 2 * c.run.num_microbatches, 1, false}, rank);
      REQUIRE(v.size() == both.size());
      for (std::size_t i = 0; i < v.size(); ++i) {
        CHECK(v[i].kind == both[i].kind);
        CHECK(v[i].f == both[i].f);
        CHECK(v[i].b == both[i].b);
      }
    }
  }
}

TEST_CASE("schedules: the bubble of the lists is the longest path's, on every layout",
          "[schedule]") {
  for (const Case& c : all_cases()) {
    CAPTURE(text_of(c));
    const Durations& d = kDurations[1];
    const LongestPath path = solve(c, d);
    double mean = 0;
    for (const std::int64_t work : path.work)
      mean += static_cast<double>(path.makespan - work) / static_cast<double>(c.run.pp);
    const ChunkDurations chunk{static_cast<double>(d.f),
                               static_cast<double>(d.b + d.w),
                               static_cast<double>(d.w),
                               static_cast<double>(d.pair)};
    CHECK(list_bubble(schedule_of(c.kind), c.run, chunk) == Approx(mean).margin(1e-9));
  }
}

TEST_CASE("schedules: what they refuse", "[schedule]") {
  CHECK(schedule_of(ScheduleKind::interleaved_1f1b).refusal({4, 10, 2, false}) ==
        "interleaved 1F1B runs microbatches in groups of pp: 10 = 2 x 4 + 2; expected a multiple "
        "of 4");
  CHECK(schedule_of(ScheduleKind::interleaved_1f1b).refusal({4, 12, 2, false}).empty());
  CHECK(schedule_of(ScheduleKind::dualpipe_v).refusal({4, 7, 1, false}) ==
        "DualPipeV over 4 ranks needs at least 2 x 4 = 8 microbatches a pipeline, found 7");
  CHECK(schedule_of(ScheduleKind::dualpipe_v).refusal({4, 9, 1, false}).empty());
  for (const ScheduleKind kind :
       {ScheduleKind::gpipe, ScheduleKind::zb_h1, ScheduleKind::zb_h2, ScheduleKind::zb_v})
    CHECK(schedule_of(kind).refusal({16, 1, 1, false}).empty());
}

TEST_CASE("schedules: a known figure names its schedule", "[schedule]") {
  auto bubble = [](std::map<std::string, std::string> names, double pp, double microbatches) {
    const std::map<std::string, double> inputs = {
        {"pp", pp}, {"microbatches", microbatches}, {"f", 1}, {"b", 2}, {"w", 1}, {"fb", 3}};
    return evaluate_formula(
        "schedule_bubble", FormulaInputs(inputs, "x.json: /from", std::move(names)), nullptr);
  };
  auto error = [&](std::map<std::string, std::string> names) {
    try {
      bubble(std::move(names), 8, 10);
    } catch (const InputError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(bubble({{"schedule", "zb_h1"}}, 16, 40) == 15);
  CHECK(bubble({{"schedule", "dualpipe_v"}}, 8, 40) == 14);
  CHECK(error({}) == "x.json: /from: missing input \"schedule\", which is a name");
  CHECK(error({{"schedule", "zb"}}) == "x.json: /from: unknown schedule \"zb\"");
  CHECK(error({{"schedule", "dualpipe_v"}}) ==
        "x.json: /from: DualPipeV over 8 ranks needs at least 2 x 8 = 16 microbatches a pipeline, "
        "found 10");
}
