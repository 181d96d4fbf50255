#include "sim/serving/serving_uncertainty.hpp"

#include <algorithm>

#include "model/parallel_for.hpp"
#include "model/profile_transfer.hpp"

namespace moesim {
namespace {

Profile own_profile(const PoolSpec& pool) {
  return transferred(pool.profile, pool.cluster.gpu);
}

// Pools may have profiles of their own: sources of one name move together.
std::vector<std::string> source_names(const ServingScenario& scenario) {
  std::vector<std::string> names;
  for (const PoolSpec& pool : scenario.serving.pools)
    for (const ErrorSource& source : error_sources(own_profile(pool)))
      if (std::find(names.begin(), names.end(), source.name) == names.end())
        names.push_back(source.name);
  return names;
}

ServingScenario perturbed(ServingScenario scenario, const std::string& name, double sign) {
  for (PoolSpec& pool : scenario.serving.pools) {
    const Profile profile = own_profile(pool);
    for (const ErrorSource& source : error_sources(profile))
      if (source.name == name) pool.profile = perturbed(profile, source, sign);
  }
  return scenario;
}

}  // namespace

std::optional<ServingUncertainty> serving_uncertainty_of(const ServingScenario& scenario,
                                                         const ServingRun& run,
                                                         int num_threads) {
  constexpr std::array kSigns = {-1.0, 1.0};
  for (const SeedRun& of_seed : run.runs)
    if (of_seed.simulated > kMostRequestsForIntervals) return std::nullopt;
  ServingScenario once = scenario;
  once.measure.seeds = 1;
  ServingUncertainty result;
  result.sources = source_names(scenario);
  result.ends.resize(result.sources.size());
  parallel_for(result.sources.size() * kSigns.size(), num_threads, [&](std::size_t i) {
    const std::size_t source = i / kSigns.size(), end = i % kSigns.size();
    result.ends[source][end] =
        run_serving(perturbed(once, result.sources[source], kSigns[end]), {1, run.routing, {}});
  });
  return result;
}

}  // namespace moesim
