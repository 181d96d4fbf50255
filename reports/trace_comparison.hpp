// A profiler trace of an overlapped pair of chunks next to the simulation of one: operations and
// blocks joined by name. No text yet; reports/trace_report.cpp and trace_json.cpp write it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/scenario.hpp"
#include "model/trace_times.hpp"
#include "sim/pair_times.hpp"

namespace moesim {

// Whichever is not there was not measured, or is not predicted.
struct Compared {
  std::optional<Seconds> measured, predicted;
  std::optional<double> error_pct() const;  // of the prediction, where both are above zero
};

struct ComparedOp {
  std::string name;
  std::optional<KernelTimes> measured;
  std::optional<OpTime> predicted;
  Compared time() const;  // shares of the measured kernels
};

struct ComparedBlock {
  std::string name;
  bool is_transfer = false;
  std::vector<ComparedOp> ops;  // as predicted, in launch order, then what is only measured
  std::optional<TracedBlock> measured;
  std::optional<BlockTime> predicted;  // for as many runs as were measured
  std::int64_t simulated_runs = 0;
  KernelTimes unmapped;  // launched in the block's annotation, and no operation
  Compared wall() const;
  // More or fewer layers or pairs were traced than are simulated.
  bool is_scaled() const { return predicted && predicted->runs != simulated_runs; }
};

struct ComparedQuantity {
  std::string key, title;
  Compared time;
};

struct TraceComparison {
  std::vector<ComparedQuantity> pair;  // as a whole; predicted where the trace is of one pair
  std::vector<ComparedBlock> blocks;
  TraceTimes measured;
  std::vector<RankLoad> forward_loads, backward_loads;  // assumed, of the MoE layers
};

// Without a mapped block nothing of `predicted` speaks to the trace, and it is left out.
TraceComparison compare_trace(TraceTimes measured, const PairTimes& predicted);

}  // namespace moesim
