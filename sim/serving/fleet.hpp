// All units of a cluster, their states, and what they cost: the part of a simulated cluster that
// knows nothing of requests on their way.
#pragma once

#include <vector>

#include "sim/serving/cluster.hpp"
#include "sim/serving/router.hpp"

namespace moesim {

enum class UnitState : std::uint8_t {
  off,       // costs nothing
  starting,  // on its way to up
  up,
  draining,  // takes nothing new; off when empty
  down,      // failed, under repair
  gone,      // failed for good
};

struct FleetUnit {
  ServingUnit engine;
  std::int32_t pool = 0;
  UnitState state = UnitState::off;
  bool touched = false;       // may have something to begin
  std::uint32_t epoch = 0;    // events of an older one are void
  std::int64_t assigned = 0;  // requests that it has or has promised room
  std::int64_t waiting = 0;   // as last seen
  std::size_t first_port = 0;
};

class Fleet {
 public:
  Fleet(const ServingSpec& spec,
        const std::vector<PoolModel>& models,
        const ServingOptions& options,
        std::int64_t block_tokens,
        RequestLog& log);

  std::size_t num_units() const { return units_.size(); }
  FleetUnit& unit(std::size_t number) { return units_[number]; }
  const PoolSpec& pool_of(std::size_t number) const {
    return spec_.pools[static_cast<std::size_t>(units_[number].pool)];
  }
  std::size_t first_unit(std::size_t pool) const { return first_unit_[pool]; }
  std::size_t last_unit(std::size_t pool) const { return first_unit_[pool + 1]; }  // one past
  const UnitCapacity& capacity(std::size_t pool) const { return capacities_[pool]; }
  const std::vector<UnitCapacity>& capacities() const { return capacities_; }

  // The only way to change a state: keeps the account of units and their router.
  void set_state(std::size_t number, UnitState state, Tick now);
  // After anything that changes what a unit has to do.
  void refresh(std::size_t number);

  // The router of units that requests enter (colocated or prefill), and that of decode units. Units
  // of the other role are never available there.
  Router& entry() { return entry_; }
  Router& decode() { return decode_; }
  std::int64_t waiting() const { return waiting_; }  // in all units that requests enter

  // Whether a unit of this role that can serve it (refused_by: [pool]) is there or may come.
  bool may_return(PoolRole role, const std::vector<std::uint8_t>& refused_by) const;
  PoolSums sums(std::size_t pool, Tick now);
  PoolResult result(std::size_t pool, Tick now);

 private:
  struct PoolAccount {
    Tick since = 0;
    std::int64_t up = 0, provisioned = 0, peak = 0, failures = 0;
    double up_ticks = 0, provisioned_ticks = 0;
    void pass_time(Tick now);
  };

  const ServingSpec& spec_;
  std::vector<FleetUnit> units_;
  std::vector<std::size_t> first_unit_;  // [pool + 1]
  std::vector<UnitCapacity> capacities_;
  std::vector<PoolAccount> accounts_;
  Router entry_, decode_;
  std::int64_t waiting_ = 0;
};

}  // namespace moesim
