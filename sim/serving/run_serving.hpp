// Every stage of serving, in order. A scenario is read (model/serving/serving_scenario); then for
// each pool what a GPU holds and how long steps take; the stated steps; the requests, once a seed:
// simulated, logged, measured; what it cost. reports/ turns the result into text.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/serving/serving_scenario.hpp"
#include "sim/serving/cluster.hpp"
#include "sim/serving/expert_cache.hpp"
#include "sim/serving/serving_cost.hpp"
#include "sim/serving/serving_metrics.hpp"
#include "sim/serving/slo.hpp"
#include "sim/serving/step_point.hpp"

namespace moesim {

// A pool, ready to be simulated.
struct PoolSetup {
  ServingMemory memory;
  PoolModel model;  // no clock without requests
  std::vector<ExpertTierPoint> expert_tiers;  // where experts lie in tiers, with requests
};

struct SeedRun {
  std::uint64_t seed = 0;
  std::int64_t simulated = 0;  // requests, of a compressed time those that were
  ServingResult cluster;
  ServingMetrics metrics;
  RequestCounts requests;
  ServingCost cost;
  std::optional<SloResult> slo;  // of the scenario's measure
};

// Drawn once for all runs of a scenario that differ in profiles only.
struct ServingRouting {
  std::vector<UnitRouting> pools, steps;  // in order of the scenario's
};

struct ServingRun {
  bool feasible = true;  // every pool's memory, and every stated step's
  std::vector<PoolSetup> pools;  // in order of ServingSpec::pools
  std::vector<StepPointResult> steps;
  std::vector<SeedRun> runs;  // none without requests, or when a pool does not fit
  std::vector<std::string> warnings;
  std::shared_ptr<const ServingRouting> routing;
};

ServingRouting draw_routing(const ServingScenario& scenario, int num_threads);

struct ServingRunOptions {
  int num_threads = 1;
  std::shared_ptr<const ServingRouting> routing = {};  // drawn here when there is none
  std::function<void(const std::string&)> progress = {};  // told what comes next
};

ServingRun run_serving(const ServingScenario& scenario, const ServingRunOptions& options);

// Parts of it, for searches that serve the same requests many times.
std::vector<PoolSetup> set_up_pools(const ServingScenario& scenario,
                                    const ServingRouting& routing,
                                    int num_threads);
// `bounds`: what SeedRun::slo is about; none when empty.
SeedRun serve_requests(const ServingScenario& scenario,
                       const std::vector<PoolSetup>& pools,
                       std::uint64_t seed,
                       const std::vector<SloBound>& bounds);

}  // namespace moesim
