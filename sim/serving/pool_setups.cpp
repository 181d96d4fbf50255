#include "sim/serving/pool_setups.hpp"

namespace moesim {

const PoolSetup& PoolSetups::of(const ServingScenario& scenario,
                                std::size_t pool,
                                const std::string& key) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = setups_.find(key); known != setups_.end()) return *known->second;
  }
  ServingScenario alone = scenario;
  alone.serving.pools = {scenario.serving.pools[pool]};
  alone.steps.clear();
  // Two threads may make the same one: they come out alike, and the first is kept.
  auto made = std::make_unique<PoolSetup>(
      std::move(set_up_pools(alone, draw_routing(alone, 1), 1).front()));
  const std::lock_guard lock(mutex_);
  return *setups_.try_emplace(key, std::move(made)).first->second;
}

}  // namespace moesim
