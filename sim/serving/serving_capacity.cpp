#include "sim/serving/serving_capacity.hpp"

#include <algorithm>
#include <atomic>

namespace moesim {
namespace {

void check_pools(const ServingScenario& scenario) {
  if (!scenario.requests)
    throw InputError("/requests", "missing; capacity is searched for requests");
  const auto& pools = scenario.serving.pools;
  const bool alone = pools.size() == 1, apart = pools.size() == 2 && scenario.serving.has_prefill_pools();
  if (!alone && !apart)
    throw InputError("/serving/pools",
                     std::to_string(pools.size()) +
                         " pools; expected one, or one of prefill and one of decode");
}

// What the requests ask for, read through once.
ServingWork work_of(const ServingScenario& scenario) {
  const std::unique_ptr<RequestSource> source = make_source(*scenario.requests, scenario.seed);
  ServingWork work;
  while (source->next_arrival()) {
    const Request request = source->take();
    if (scenario.measure.stop_after && request.arrival > to_tick(*scenario.measure.stop_after)) break;
    work.prompt_tokens +=
        static_cast<double>(request.input_tokens - request.stated_cached_tokens);
    work.output_tokens += static_cast<double>(request.output_tokens - 1);
    work.within = request.arrival;
    source->finished(request, request.arrival);
  }
  return work;
}

// Nothing is known of it where a prefix cache may spare any part of the work, or where requests wait
// for answers and so come as fast as they are served.
bool has_bound(const ServingScenario& scenario) {
  return !waits_for_answers(*scenario.requests) &&
         std::none_of(scenario.serving.pools.begin(),
                                scenario.serving.pools.end(),
                                [](const PoolSpec& p) { return p.kv.prefix_cache; });
}

std::int64_t most_units(const ServingScenario& scenario, std::size_t pool) {
  std::int64_t others = 0;
  for (std::size_t i = 0; i < scenario.serving.pools.size(); ++i)
    if (i != pool) others += scenario.serving.pools[i].plan.num_gpus();
  const PoolSpec& spec = scenario.serving.pools[pool];
  return std::max<std::int64_t>(1, (spec.cluster.num_gpus() - others) / spec.plan.num_gpus());
}

}  // namespace

ServingScenario with_units(ServingScenario scenario, const std::vector<std::int64_t>& units) {
  for (std::size_t i = 0; i < units.size(); ++i) {
    PoolSpec& pool = scenario.serving.pools[i];
    pool.units = units[i];
    pool.scaler = {};
    pool.scaler.min_units = pool.scaler.max_units = units[i];
    pool.failures = {};
  }
  return scenario;
}

CapacityEvaluation evaluation_of(const SeedRun& run) {
  const SloCheck& binding = run.slo->checks[run.slo->binding];
  const bool grows = run.metrics.saturation.is_saturated;
  CapacityEvaluation found;
  found.holds = run.slo->holds && !grows;
  found.margin = grows ? std::min(-1.0, binding.margin) : binding.margin;
  found.binding = grows ? "the queue grows" : binding.bound.text;
  return found;
}

CapacityPlan plan_capacity(const ServingScenario& scenario,
                           const std::vector<SloBound>& bounds,
                           const CapacityOptions& options) {
  check_pools(scenario);
  ENSURE(!bounds.empty());
  CapacityPlan plan;
  plan.pools = set_up_pools(
      scenario, draw_routing(scenario, options.num_threads), options.num_threads);
  plan.feasible = std::all_of(
      plan.pools.begin(), plan.pools.end(), [](const PoolSetup& p) { return p.memory.fits; });
  if (!plan.feasible) return plan;

  const auto& pools = scenario.serving.pools;
  const std::optional<ServingWork> work =
      has_bound(scenario) ? std::optional(work_of(scenario)) : std::nullopt;
  std::atomic<std::int64_t> simulated = 0;
  CapacityRequest request;
  for (std::size_t i = 0; i < pools.size(); ++i) {
    const std::int64_t most = most_units(scenario, i);
    plan.least.push_back(work ? least_units(pools[i], plan.pools[i].model, *work) : 1);
    request.pools.push_back(
        {pools[i].name, pools[i].plan.num_gpus(), std::min(most, plan.least.back()), most});
  }
  request.budget = options.budget;
  request.sweep = options.sweep;
  request.num_threads = options.num_threads;
  const auto serve = [&](const std::vector<std::int64_t>& units) {
    SeedRun run = serve_requests(with_units(scenario, units), plan.pools, scenario.seed, bounds);
    simulated += run.simulated;
    return run;
  };
  request.evaluate = [&](const std::vector<std::int64_t>& units) {
    return evaluation_of(serve(units));
  };
  plan.search = search_capacity(request);
  plan.run = serve(plan.search.best ? plan.search.best->units : plan.search.closest.units);
  plan.num_simulated = simulated;
  for (std::size_t i = 0; i < pools.size(); ++i) {
    const UnitFailures& failures = pools[i].failures;
    UnitSpares spares;
    if (plan.search.best && failures.mean_between > Seconds() && failures.repair) {
      spares.availability =
          failures.mean_between / (failures.mean_between + *failures.repair);
      spares.units = fewest_spares(
          plan.search.best->units[i], spares.availability, kWantedAvailability);
    }
    plan.spares.push_back(spares);
  }
  return plan;
}

}  // namespace moesim
