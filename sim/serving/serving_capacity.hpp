// The fewest GPUs of a scenario's pools that hold a service level for its requests: the search of
// sim/serving/capacity_search, asking the simulation. Units are fixed during a run (scalers are left
// out: `moesim run` shows what one does), and a number of units holds when every bound does and the
// queue does not grow.
#pragma once

#include <optional>
#include <vector>

#include "sim/serving/capacity_search.hpp"
#include "sim/serving/run_serving.hpp"

namespace moesim {

struct UnitSpares {
  std::int64_t units = 0;   // beyond those that are needed
  double availability = 1;  // of one unit
};
// Units up with this chance: three nines.
inline constexpr double kWantedAvailability = 0.999;

struct CapacityPlan {
  bool feasible = true;  // every pool fits in memory
  std::vector<PoolSetup> pools;
  std::vector<std::int64_t> least;  // units of each pool by throughput alone
  CapacityResult search;
  std::optional<SeedRun> run;  // of the best, or of the closest
  std::vector<UnitSpares> spares;  // of each pool with a mean time between failures; else no units
  std::int64_t num_simulated = 0;  // requests of all evaluations
};

struct CapacityOptions {
  int num_threads = 1;
  std::int64_t budget = 200, sweep = 2;
};

// The scenario has requests, and one pool or one of prefill and one of decode: InputError otherwise.
// `bounds` are not empty.
CapacityPlan plan_capacity(const ServingScenario& scenario,
                           const std::vector<SloBound>& bounds,
                           const CapacityOptions& options);

// Parts of it, for searches over more than units: the scenario with so many units of each pool and no
// scalers or failures; what one run of it says.
ServingScenario with_units(ServingScenario scenario, const std::vector<std::int64_t>& units);
CapacityEvaluation evaluation_of(const SeedRun& run);

}  // namespace moesim
