// Pools made ready for simulation, each once however many deployments have it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "sim/serving/run_serving.hpp"

namespace moesim {

class PoolSetups {
 public:
  // `key`: all that the pool depends on. May be called from several threads; what is returned
  // stays.
  const PoolSetup& of(const ServingScenario& scenario, std::size_t pool, const std::string& key);

 private:
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<PoolSetup>> setups_;
};

}  // namespace moesim
