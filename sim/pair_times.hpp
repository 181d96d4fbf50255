// One overlapped pair of chunks, operation by operation: what the simulated blocks of a rank are
// made of, next to how long the timeline has them. For comparison with a trace of such a pair.
//
// Operations are costed as the simulation costs them (sim/stage_costs), under the loads that it
// drew; blocks and the pair itself are read off the timeline. So the operations of a block and its
// gaps add up to its time (tests/unit/test_pair_times.cpp).
//
// Left out: every other schedule; ranks but the first.
#pragma once

#include <string>
#include <vector>

#include "model/scenario.hpp"
#include "sim/timeline.hpp"

namespace moesim {

struct OpTime {
  std::string name;      // as labelled in the reference trace
  double calls = 0;      // kernels, over all layers
  Seconds time;          // of all calls
  bool is_wait = false;  // of a transfer, for its peers
};

// A block of a layer, or one of its transfers, over all layers.
struct BlockTime {
  std::string name;          // "mlp(B)", "dispatch(F)"
  bool is_transfer = false;  // on the communication stream
  std::int64_t runs = 0;
  std::vector<OpTime> ops;  // in launch order, one row a name
  Seconds kernels;          // of all operations
  Seconds wall;             // in the timeline; what is not kernels is gaps between them
};

struct PairTimes {
  std::vector<BlockTime> blocks;  // the six of a layer, then the four transfers
  Seconds span;                   // first start to last end on the rank
  std::vector<RankLoad> forward_loads, backward_loads;  // of the MoE layers, in the chunks' order
};

// Names of the blocks above, whatever the model.
std::vector<std::string> pair_block_names();

// The scenario's first phase is an overlapped pair that the schedule can run.
PairTimes pair_times(const Scenario& scenario, int num_threads);

}  // namespace moesim
