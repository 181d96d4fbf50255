// A serving cluster: requests arrive, are admitted, routed to a unit, perhaps moved from a prefill
// to a decode unit, and leave. One loop over events, in which everything at one instant happens in
// this order: what ends, what arrives, what begins; so a request that arrives when a step ends is
// in the next step.
//
//   admission   a request that no pool can ever serve is rejected; so is one that finds
//               `max_waiting` requests waiting
//   routing     over the units of all pools of a role together (sim/serving/router). The work of a
//               unit is its prompt tokens to compute over what it computes at most, in seconds; for
//               decode its requests over its places
//   transfer    from first token to decoding: pages are reserved in a decode unit first (the
//               router's choice, else the next one with room), then the KV of all tokens but the
//               last moves (sim/serving/kv_transfer) at the sustained rate of the ranks' NICs. When
//               no unit has room, requests wait in order and keep their prefill pages
//   failure     a unit's requests start again elsewhere, from their prompt and what was generated.
//               KV in a failed prefill unit is lost; for a failed decode unit, KV that has not been
//               fetched yet is sent to another. A request is lost when no unit is left that could
//               ever serve it. Stated outages of a unit that is off or under repair do nothing
//   scaling     units start (`start_up`), and are drained: they take nothing new and stop when
//               empty, their caches gone. Wanted again, they are there at once. A unit under repair
//               is counted as there: it will be
//
// Units are numbered over all pools, in order of pools; records of requests hold these numbers.
// Deterministic for a seed. Left out: time that admission, routing and networks take on the way to
// the first unit, and retries of clients.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/serving/request.hpp"
#include "sim/serving/pool_model.hpp"
#include "sim/serving/request_log.hpp"
#include "sim/serving/serving_series.hpp"
#include "sim/serving/serving_unit.hpp"

namespace moesim {

struct ServingOptions {
  std::uint64_t seed = 1;
  std::optional<Tick> until;               // the simulation stops here, whoever is still inside
  std::optional<Tick> series_interval;     // of ServingResult::series; absent: a few hundred points
  std::vector<Tick> first_token_deadline;  // [class], for slo_aware
};

struct ScalerDecision {
  Tick when = 0;
  std::int64_t from = 0, to = 0;  // units wanted
  double load = 0;                // of a reactive or predictive scaler, in units
};

struct PoolResult {
  std::vector<UnitCounters> units;  // [units that the pool can have]
  UnitCounters total;
  UnitCapacity capacity;                       // of a unit
  double up_ticks = 0, provisioned_ticks = 0;  // summed over units
  std::int64_t peak_units = 0;                 // provisioned at once
  std::int64_t failures = 0;
  std::vector<ScalerDecision> decisions;  // those that changed something
  Seconds gpu_time;                       // provisioned, of all GPUs together
};

struct TransferResult {
  std::int64_t count = 0;
  Bytes bytes;
  double place_ticks = 0;  // from first token to reserved pages, summed
  double port_ticks = 0;   // from reserved pages to the start, summed
  double wire_ticks = 0;   // from the start to the KV's arrival, latency included, summed
};

struct ServingResult {
  Tick end = 0;  // when the last request left, or ServingOptions::until
  std::int64_t taken = 0, served = 0, lost = 0, inside = 0;
  std::int64_t rejected_context = 0, rejected_memory = 0, rejected_queue = 0;
  std::int64_t rejected() const { return rejected_context + rejected_memory + rejected_queue; }
  std::int64_t requeued = 0;  // by failures of units
  std::int64_t events = 0;
  TransferResult transfers;
  std::vector<PoolResult> pools;  // in order of ServingSpec::pools
  std::vector<SeriesPoint> series;
};

// models: one a pool. The log gets every request that leaves.
ServingResult simulate_serving(const ServingSpec& spec,
                               RequestSource& source,
                               const std::vector<PoolModel>& models,
                               RequestLog& log,
                               const ServingOptions& options = {});

}  // namespace moesim
