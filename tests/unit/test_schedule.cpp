// Pipeline schedules: what each rank's list holds, and the time the lists take against the
// published bubbles, by a longest path that the simulator has no part in.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "model/random.hpp"
#include "sim/schedule/schedule.hpp"
#include "tests/catch.hpp"
#include "tests/longest_path.hpp"

using namespace moesim;

namespace {

using Steps = std::vector<ScheduleStep>;

Steps steps_of(ScheduleKind kind, std::int64_t pp, std::int64_t rank, std::int64_t microbatches) {
  return schedule_of(kind).steps({pp, microbatches, 1, false}, rank);
}

// {F&B, F, input-only B, full B, W}
std::array<int, 5> counts(const Steps& steps) {
  std::array<int, 5> n{};
  for (const ScheduleStep& step : steps) {
    switch (step.kind) {
      case StepKind::forward_backward: ++n[0]; break;
      case StepKind::forward: ++n[1]; break;
      case StepKind::backward_input: ++n[2]; break;
      case StepKind::backward: ++n[3]; break;
      case StepKind::weight: ++n[4]; break;
    }
  }
  return n;
}

// Where in a rank's list a chunk's forward, backward and weight gradient are.
struct Life {
  int forwards = 0, backwards = 0, weights = 0;
  std::size_t forward = 0, backward = 0, complete = 0;
};
std::map<std::pair<int, int>, Life> lives(const Steps& steps) {
  std::map<std::pair<int, int>, Life> all;
  auto of = [&](const Chunk& c) -> Life& { return all[{c.part, c.microbatch}]; };
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const ScheduleStep& step = steps[i];
    if (step.kind == StepKind::forward || step.kind == StepKind::forward_backward) {
      ++of(step.f).forwards;
      of(step.f).forward = i;
    }
    if (step.kind == StepKind::forward) continue;
    Life& life = of(step.b);
    if (step.kind != StepKind::weight) {
      ++life.backwards;
      life.backward = i;
    }
    if (step.kind != StepKind::backward_input) {
      ++life.weights;
      life.complete = i;
    }
  }
  return all;
}

struct Case {
  ScheduleKind kind;
  std::int64_t pp, microbatches;
};
const Case kCases[] = {
    {ScheduleKind::one_f_one_b, 1, 1},
    {ScheduleKind::one_f_one_b, 1, 5},
    {ScheduleKind::one_f_one_b, 4, 1},
    {ScheduleKind::one_f_one_b, 4, 3},
    {ScheduleKind::one_f_one_b, 4, 4},
    {ScheduleKind::one_f_one_b, 8, 30},
    {ScheduleKind::one_f_one_b, 16, 7},
    {ScheduleKind::dualpipe, 2, 4},
    {ScheduleKind::dualpipe, 4, 8},
    {ScheduleKind::dualpipe, 6, 12},
    {ScheduleKind::dualpipe, 8, 20},
    {ScheduleKind::dualpipe, 10, 24},
    {ScheduleKind::dualpipe, 16, 32},
    {ScheduleKind::dualpipe, 16, 120},
};

std::int64_t duration(const ChunkDurations& d, StepKind kind) {
  switch (kind) {
    case StepKind::forward: return std::llround(d.f);
    case StepKind::backward: return std::llround(d.b);
    case StepKind::backward_input: return std::llround(d.b - d.w);
    case StepKind::weight: return std::llround(d.w);
    case StepKind::forward_backward: return std::llround(d.fb);
  }
  throw std::logic_error("no such step");
}
LongestPath solve(const Case& c, const ChunkDurations& d) {
  auto length = [&](StepKind kind, std::int64_t, std::int64_t) { return duration(d, kind); };
  return LongestPathSolver(c.kind, {c.pp, c.microbatches, 1, false}, length).solve();
}
// Idle time of each rank until the last one ends.
std::vector<double> idle(const LongestPath& path) {
  std::vector<double> all;
  for (const std::int64_t w : path.work) all.push_back(static_cast<double>(path.makespan - w));
  return all;
}
double mean(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}

}  // namespace

TEST_CASE("schedule: DualPipe's step counts are those of its published code", "[schedule]") {
  // deepseek-ai/DualPipe, step(), counted for 16 ranks and 120 chunks (trace README, section 5).
  auto at = [](std::int64_t rank) {
    return counts(steps_of(ScheduleKind::dualpipe, 16, rank, 120));
  };
  CHECK(at(0) == std::array<int, 5>{97, 23, 15, 8, 15});
  CHECK(at(7) == std::array<int, 5>{103, 17, 8, 9, 8});
  std::array<double, 5> sum{};
  for (std::int64_t rank = 0; rank < 16; ++rank) {
    CHECK(at(rank) == at(15 - rank));  // the two halves mirror each other
    for (std::size_t i = 0; i < 5; ++i) sum[i] += at(rank)[i] / 16.0;
  }
  const std::array<double, 5> published = {100.4, 19.6, 11.5, 8.1, 11.5};
  for (std::size_t i = 0; i < 5; ++i) CHECK(std::abs(sum[i] - published[i]) <= 0.05);
}

TEST_CASE("schedule: 1F1B's order by hand", "[schedule]") {
  auto text = [](std::int64_t pp, std::int64_t rank, std::int64_t microbatches) {
    std::string s;
    for (const auto& step : steps_of(ScheduleKind::one_f_one_b, pp, rank, microbatches)) {
      const bool f = step.kind == StepKind::forward;
      s += (f ? "F" : "B") + std::to_string(f ? step.f.microbatch : step.b.microbatch) + " ";
    }
    return s;
  };
  CHECK(text(3, 0, 5) == "F0 F1 F2 B0 F3 B1 F4 B2 B3 B4 ");
  CHECK(text(3, 1, 5) == "F0 F1 B0 F2 B1 F3 B2 F4 B3 B4 ");
  CHECK(text(3, 2, 5) == "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 ");
  CHECK(text(4, 0, 2) == "F0 F1 B0 B1 ");
}

TEST_CASE("schedule: every chunk goes forward once and back once on every rank", "[schedule]") {
  for (const Case& c : kCases) {
    const std::int64_t directions = traits_of(c.kind).order == StageOrder::bidirectional ? 2 : 1;
    REQUIRE(schedule_of(c.kind).refusal({c.pp, c.microbatches, 1, false}).empty());
    for (std::int64_t rank = 0; rank < c.pp; ++rank) {
      CAPTURE(static_cast<int>(c.kind), c.pp, c.microbatches, rank);
      const auto all = lives(steps_of(c.kind, c.pp, rank, c.microbatches));
      CHECK(static_cast<std::int64_t>(all.size()) == c.microbatches);
      std::array<std::size_t, 2> last_forward{}, last_backward{};
      for (const auto& [chunk, life] : all) {
        CHECK(chunk.first < directions);
        CHECK(chunk.second < c.microbatches / directions);
        CHECK(life.forwards == 1);
        CHECK(life.backwards == 1);
        CHECK(life.weights == 1);
        // Forward before backward; the weight gradient with the input gradient or after it.
        CHECK(life.forward < life.backward);
        CHECK(life.backward <= life.complete);
        // First in, first out within a direction (the map is in microbatch order).
        const auto d = static_cast<std::size_t>(chunk.first);
        if (chunk.second > 0) {
          CHECK(life.forward > last_forward[d]);
          CHECK(life.backward > last_backward[d]);
        }
        last_forward[d] = life.forward;
        last_backward[d] = life.backward;
      }
    }
  }
}

TEST_CASE("schedule: the pair of chunks is one step", "[schedule]") {
  const Steps steps = steps_of(ScheduleKind::overlapped_pair, 1, 0, 2);
  REQUIRE(steps.size() == 1);
  CHECK(steps[0].kind == StepKind::forward_backward);
  CHECK(steps[0].f != steps[0].b);
}

TEST_CASE("schedule: chunks alive are those counted one by one", "[schedule]") {
  Random random(2);
  for (const Case& c : kCases) {
    double most = 0;
    for (std::int64_t rank = 0; rank < c.pp; ++rank) {
      CAPTURE(static_cast<int>(c.kind), c.pp, c.microbatches, rank);
      const Steps steps = steps_of(c.kind, c.pp, rank, c.microbatches);
      const std::vector<double> uneven = {random.uniform(), random.uniform()};
      double peak = 0, peak_uneven = 0;
      for (std::size_t i = 0; i < steps.size(); ++i) {
        double alive = 0, alive_uneven = 0;
        for (const auto& [chunk, life] : lives(steps)) {
          if (life.forward > i || life.complete < i) continue;
          alive += 1;
          alive_uneven += uneven[static_cast<std::size_t>(chunk.first)];
        }
        peak = std::max(peak, alive);
        peak_uneven = std::max(peak_uneven, alive_uneven);
      }
      CHECK(peak_alive(steps, {1, 1}) == peak);
      CHECK(peak_alive(steps, uneven) == Approx(peak_uneven));
      if (c.kind == ScheduleKind::one_f_one_b)
        CHECK(peak == static_cast<double>(std::min(c.pp - rank, c.microbatches)));
      most = std::max(most, peak);
    }
    // DualPipe repository, README: pp + 1 activations.
    if (c.kind == ScheduleKind::dualpipe) CHECK(most == static_cast<double>(c.pp + 1));
  }
}

TEST_CASE("schedule: 1F1B takes the published time, to the tick", "[schedule]") {
  for (const auto& [f, b] : {std::pair{100, 200}, {100, 137}, {71, 350}, {300, 100}})
    for (const std::int64_t pp : {1, 2, 4, 8, 16})
      for (const std::int64_t microbatches : {std::int64_t{1}, (pp + 1) / 2, pp, pp + 3, 5 * pp}) {
        CAPTURE(f, b, pp, microbatches);
        const ChunkDurations d{static_cast<double>(f), static_cast<double>(b), 0, 0};
        const LongestPath path = solve({ScheduleKind::one_f_one_b, pp, microbatches}, d);
        const double bubble = one_f_one_b_bubble(pp, f, b);
        CHECK(static_cast<double>(path.makespan) ==
              static_cast<double>(microbatches * (f + b)) + bubble);
        for (const double t : idle(path)) CHECK(t == bubble);
      }
}

TEST_CASE("schedule: DualPipe's published bubble", "[schedule]") {
  for (const std::int64_t pp : {2, 4, 8, 16})
    for (const std::int64_t microbatches : {2 * pp, 5 * pp + pp % 4}) {
      CAPTURE(pp, microbatches);
      const Case c{ScheduleKind::dualpipe, pp, microbatches};
      // Where the formula is exact on every rank: W = F = half a backward, and a pair as long as
      // its two chunks.
      const ChunkDurations equal{100, 200, 100, 300};
      const double bubble = dualpipe_bubble(pp, 300, 200, 100);
      for (const double t : idle(solve(c, equal))) CHECK(t == bubble);
      // A pair that overlaps well: exact on the two middle ranks, less on the others.
      const ChunkDurations overlapped{100, 200, 100, 250};
      const auto ranks = idle(solve(c, overlapped));
      const double shorter = dualpipe_bubble(pp, 250, 200, 100);
      CHECK(*std::max_element(ranks.begin(), ranks.end()) == shorter);
      CHECK(ranks[static_cast<std::size_t>(pp / 2)] == shorter);
      CHECK(mean(ranks) <= shorter);
      CHECK(mean(ranks) >= 0.87 * shorter);
    }
  // Other durations: the mean of the ranks is 30 % below the formula to 8 % above.
  Random random(4);
  for (int trial = 0; trial < 100; ++trial) {
    const double f = std::round(100 + 100 * random.uniform());
    const double b = std::round(f * (1.6 + 0.6 * random.uniform()));
    const double w = std::round(b * (0.25 + 0.25 * random.uniform()));
    const double fb = std::round((f + b) * (0.75 + 0.25 * random.uniform()));
    CAPTURE(f, b, w, fb);
    const double formula = dualpipe_bubble(16, fb, b, w);
    const double counted = mean(idle(solve({ScheduleKind::dualpipe, 16, 40}, {f, b, w, fb})));
    CHECK(counted <= 1.09 * formula);
    CHECK(counted >= 0.69 * formula);
  }
}

TEST_CASE("schedule: DualPipe in the durations of the trace", "[schedule]") {
  // Another simulation of the same lists (trace README, section 5): ms a chunk, then seconds.
  struct Row {
    double f, b_input, w, fb, makespan, bubble_first, bubble_mean;
  };
  const Row rows[] = {{36.3, 59.6, 29.8, 129.0, 16.29, 0.89, 0.88},
                      {64.4, 87.7, 29.8, 129.0, 17.41, 0.72, 0.90},
                      {77.6, 98.7, 29.8, 129.0, 17.89, 0.64, 0.90},
                      {49.1, 75.4, 32.0, 143.8, 18.51, 0.96, 1.00},
                      {64.4, 87.7, 32.0, 143.8, 19.05, 0.87, 1.00}};
  for (const Row& row : rows) {
    CAPTURE(row.f, row.fb);
    const ChunkDurations d{10 * row.f, 10 * (row.b_input + row.w), 10 * row.w, 10 * row.fb};
    const LongestPath path = solve({ScheduleKind::dualpipe, 16, 120}, d);
    CHECK(std::abs(static_cast<double>(path.makespan) / 1e4 - row.makespan) <= 0.006);
    CHECK(std::abs(idle(path)[0] / 1e4 - row.bubble_first) <= 0.006);
    CHECK(std::abs(mean(idle(path)) / 1e4 - row.bubble_mean) <= 0.006);
  }
}

TEST_CASE("schedule: the bubble of the lists is the longest path's", "[schedule]") {
  Random random(6);
  for (const Case& c : kCases) {
    for (int trial = 0; trial < 3; ++trial) {
      ChunkDurations d;
      d.f = std::round(100 + 100 * random.uniform());
      d.b = std::round(d.f * (1 + 2 * random.uniform()));
      d.w = std::round(d.b * random.uniform());
      d.fb = std::round((d.f + d.b) * (0.6 + 0.4 * random.uniform()));
      CAPTURE(static_cast<int>(c.kind), c.pp, c.microbatches, d.f, d.b, d.w, d.fb);
      const double listed = list_bubble(schedule_of(c.kind), {c.pp, c.microbatches, 1, false}, d);
      CHECK(listed == Approx(mean(idle(solve(c, d)))).margin(1e-9));
    }
  }
}

TEST_CASE("schedule: published formulas by hand", "[schedule]") {
  CHECK(one_f_one_b_bubble(16, 1, 2) == 45);
  CHECK(zb1p_bubble(16, 1, 2, 1) == 15);
  CHECK(dualpipe_bubble(16, 3, 2, 1) == 14);
  CHECK(one_f_one_b_bubble(1, 1, 2) == 0);
  // ISCA'25, F&B 129.0, B 117.5, W 29.8 ms: 1.10 s.
  CHECK(std::abs(dualpipe_bubble(16, 129.0, 117.5, 29.8) / 1e3 - 1.10) <= 0.005);
}

TEST_CASE("schedule: refusals show the numbers", "[schedule]") {
  auto refusal = [](ScheduleKind kind, std::int64_t pp, std::int64_t microbatches) {
    return schedule_of(kind).refusal({pp, microbatches, 1, false});
  };
  CHECK(refusal(ScheduleKind::dualpipe, 16, 24) ==
        "DualPipe over 16 stages needs an even number of at least 32 microbatches a pipeline, "
        "found 24");
  CHECK(refusal(ScheduleKind::dualpipe, 4, 9) ==
        "DualPipe over 4 stages needs an even number of at least 8 microbatches a pipeline, "
        "found 9");
  CHECK(refusal(ScheduleKind::dualpipe, 4, 8).empty());
  CHECK(refusal(ScheduleKind::overlapped_pair, 1, 3) ==
        "an overlapped pair is two microbatches, found 3");
  CHECK(refusal(ScheduleKind::one_f_one_b, 16, 1).empty());
}
