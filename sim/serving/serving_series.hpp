// What pools did over time, in intervals of equal length. Where the end of a simulation is not
// known before, intervals are joined in pairs whenever there are more than a chart can show.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/units.hpp"
#include "sim/serving/pool_model.hpp"

namespace moesim {

// Sums since the start of the simulation; those of an interval are differences.
struct PoolSums {
  double up_ticks = 0;                          // units that serve, draining ones included
  double provisioned_ticks = 0;                 // those that start or are under repair too
  double busy_ticks = 0;                        // inside steps
  double running_ticks = 0, waiting_ticks = 0;  // requests
  double page_ticks = 0;
  std::int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;
};
struct ClusterSums {
  std::int64_t arrivals = 0, served = 0, refused = 0;  // refused: rejected or lost
  // Requests that wait because no unit is up, and those whose KV waits for room in a decode unit.
  double unrouted_ticks = 0, unplaced_ticks = 0;
  std::vector<PoolSums> pools;
};

// Means over an interval, and its counts.
struct PoolPoint {
  double units_up = 0, units_provisioned = 0, busy_units = 0;
  double running = 0, waiting = 0;
  double kv_share = 0;  // of the pages of the units that are up
  std::int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;
  // The fewest units that can do the interval's work: prompt tokens over what a unit computes, or
  // requests over its places, or pages over its pages, whichever is most. A perfect autoscaler has
  // these up, rounded up, and none else. It is a bound: decoding beside prompts costs time that is
  // not in it, and work of an interval is what was done in it, not what arrived.
  double fewest_units = 0;
};
struct SeriesPoint {
  Tick start = 0, length = 0;
  std::int64_t arrivals = 0, served = 0, refused = 0;
  double unrouted = 0, unplaced = 0;
  std::vector<PoolPoint> pools;
};

class ServingSeries {
 public:
  // With `interval` that one is kept; else it starts with a second and grows.
  ServingSeries(std::optional<Tick> interval, std::size_t num_pools);

  Tick next_boundary() const { return end_ + interval_; }
  // The sums at the next boundary.
  void record(const ClusterSums& sums);
  // The end, before the next boundary, and the points.
  std::vector<SeriesPoint> finish(Tick end,
                                  const ClusterSums& sums,
                                  const std::vector<UnitCapacity>& capacities);

 private:
  struct Sample {
    Tick at = 0;
    ClusterSums sums;
  };
  bool grows_;
  Tick interval_, end_ = 0;
  std::vector<Sample> samples_;  // at the ends of intervals; the first is the start
};

}  // namespace moesim
