// Which plan is best for a model on a cluster, or on one of several: every combination of a few
// choices is read and checked as a scenario file would be (sim/plan_reader), and as few as possible
// are simulated.
//
// What is ranked first is the main phase with balanced routing, one rank standing for all of a
// stage. Plans that do not fit are known without simulating (sim/rank_memory). For the others there
// is a proven lower bound of the step (sim/step_bound). They are simulated in the order of their
// bounds, until no bound that is left could be among the best: those are bounded away. The best,
// and the scenario's own plan, are then simulated as the scenario asks.
//
// Nothing is lost: a plan is left out only when its bound is above the worst of the best found, so
// the best are those that simulating everything finds (`exhaustive`; tests/unit/test_plan_search).
// A combination that cannot be run, or that does not fit, is a result with its reason.
//
// The data-parallel degree follows from the others, so that the ranks are the cluster's GPUs;
// layers are balanced over the stages, except in the scenario's own plan.
//
// Left out: other phases than the first, choices beside those asked for, and that unequal routing
// could turn the order of plans whose balanced steps are further apart than the best kept.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/plan_reader.hpp"
#include "sim/run.hpp"
#include "sim/search_limits.hpp"

namespace moesim {

enum class PlanOutcome : std::uint8_t {
  refused,       // it cannot be run
  over_limit,    // past a limit, whatever its step: cluster and price alone say so, or the bound
  too_large,     // it does not fit in memory, or past a limit of it
  bounded_away,  // its bound is above the worst of the best
  simulated
};

struct SearchPoint {
  std::vector<std::size_t> choice;  // [axes]; empty: the scenario's own plan
  std::size_t world = 0;            // in PlanSearch::worlds
  PlanOutcome outcome = PlanOutcome::refused;
  std::string refusal;  // of refused and over_limit: why
  Bytes memory;         // of the fullest rank; of plans that can be run
  bool fits = false;
  Seconds bound;                         // of the balanced step; of plans that can be run
  std::optional<Seconds> balanced_step;  // of those simulated
  std::optional<PhaseResult> as_asked;   // of the best
};

enum class PlanGoal : std::uint8_t { fastest, cheapest };  // days of the main phase, its dollars

struct PlanSearch {
  std::vector<FieldAxis> axes;
  std::vector<SearchWorld> worlds;
  std::vector<SearchPoint> points;  // the first is the scenario's own plan
  PlanGoal goal = PlanGoal::fastest;
  std::vector<std::size_t> ranking;  // of those simulated as asked that keep all limits, best first
  // The best of each world, balanced, and of these the ones that no other beats in both days and
  // dollars, fastest first; where worlds differ.
  std::vector<std::size_t> best_of_worlds, front;
};

struct SearchRequest {
  std::filesystem::path scenario;
  Settings settings;  // of the command line
  std::vector<FieldAxis> axes;
  std::vector<SearchLimit> limits;
  PlanGoal goal = PlanGoal::fastest;
  std::size_t num_best = 10;  // simulated as asked
  bool exhaustive = false;    // nothing is bounded away
  int num_threads = 1;
  std::function<void(const std::string&)> progress;
};

// What the main phase takes at a step time.
struct PhaseBill {
  double days = 0, gpu_hours = 0, usd = 0;
};
PhaseBill bill_of(const SearchWorld& world, Seconds step);

// The limits a plan search knows.
const std::vector<LimitedQuantity>& plan_limits();

// The result does not depend on num_threads. Throws an InputError when the scenario itself cannot
// be read.
PlanSearch search_plans(const SearchRequest& request);

}  // namespace moesim
