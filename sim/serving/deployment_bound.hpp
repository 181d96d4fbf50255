// What no deployment can do without, whatever the simulation would say of it: what lets a search
// leave deployments out with a reason.
//
// Needs. Of the requests that are measured, a bound on a percentile of TTFT asks that so many have
// their prompts computed within a stated time of arriving. Whichever these are, their prompts hold
// no fewer tokens than as many of the shortest, and all are computed between the first arrival and
// the last plus that time. The same of output tokens where TTFT and TPOT, or E2E, are bounded; of
// the shorter answers too, whose time ends sooner: the largest demand counts.
//
// What a unit can do at most rests on two properties of the step clock: a step with more in it
// takes no less time, and one whose ranks all hold the mean takes no longer than one with the same
// tokens held unequally. A step of two-batch overlap that cannot be split is not overlapped, which
// may be the faster: there both hold of either way, and the faster of the two counts. Between two
// batch sizes that were asked for, the rate is at most the tokens of the larger over the time of
// the smaller. Clocks interpolate in tables, which keep the properties to kClockSlack
// (tests/unit/test_deployment_search.cpp draws batches), so bounds give that away.
//
// From it follow units that a pool needs at least, and deployments for which no number is enough:
// a decode step with a single request in it is slower than TPOT may be, or computing the prompt
// that a percentile stands for slower than TTFT.
//
// Nothing is known of prompts under a prefix cache, and of anything where requests wait for
// answers, a run is stopped before its end, or a day is compressed.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sim/serving/run_serving.hpp"

namespace moesim {

// Of a clock's monotonicity and evenness, as a share of a step.
inline constexpr double kClockSlack = 0.05;

struct WorkNeeded {
  double tokens = 0;
  Tick within = 1;
};

struct ServingNeeds {
  std::vector<WorkNeeded> prompts, outputs;  // of one of each all has to be kept
  std::int64_t shortest_prompt = 1;
  std::optional<SloBound> tpot;  // the tightest from above
  struct PromptTime {
    SloBound bound;
    std::int64_t tokens = 0;  // of the prompt at the bound's percentile
  };
  std::vector<PromptTime> ttft;
};

ServingNeeds needs_of(const ServingScenario& scenario, const std::vector<SloBound>& bounds);

// A pool's model, and under two-batch overlap the clock of the same pool without it.
struct PoolClocks {
  const PoolModel& model;
  const StepClock* whole = nullptr;

  // The fastest way to run a step.
  Tick step_time(std::span<const RankBatch> ranks) const;
};

// Units of the pool at least.
std::int64_t units_bound(const PoolSpec& pool, const PoolClocks& clocks, const ServingNeeds& needs);

// "" or why no number of units of the pool keeps the bounds.
std::string impossibility(const PoolSpec& pool,
                          const PoolClocks& clocks,
                          const ServingNeeds& needs);

}  // namespace moesim
