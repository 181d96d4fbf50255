// What serving costs and earns: GPU time at the cluster's price, tokens at the customer's, and the
// most energy the GPUs can have drawn.
//
// A pool that only prefills carries the cost of input tokens, one that only decodes that of output
// tokens. A colocated pool does both in the same steps: its cost is not divided, only related to
// all its tokens and to the output alone. Cached input tokens cost next to nothing to serve and are
// part of all input tokens here; what a miss costs is the cost of one that was computed.
//
// Left out: hosts, network, storage of cached prefixes, staff, utilities beyond the GPUs.
#pragma once

#include <optional>
#include <vector>

#include "model/serving/serving_scenario.hpp"

namespace moesim {

// What a pool was given: its units' GPUs while they were up, starting up or draining.
struct PoolUse {
  PoolRole role = PoolRole::colocated;
  double gpu_seconds = 0;
  DollarRate price;               // of a GPU
  std::optional<Power> max_power;  // of a GPU
};

struct TokenCounts {
  double input = 0, cached_input = 0, output = 0;  // cached ones are part of the input
};

struct ServingCost {
  double gpu_hours = 0;
  Dollars total;
  // Of a million tokens; absent where there are none, or no pool is for them alone.
  std::optional<Dollars> per_million_input, per_million_computed_input, per_million_output;
  std::optional<Dollars> all_per_million_output, all_per_million_tokens;  // the whole cost over them
  std::optional<Dollars> revenue;
  std::optional<double> margin;  // profit over cost
  std::optional<Energy> most_energy;  // every GPU at its board's limit all the time
  std::optional<double> most_joules_per_output_token;
};

ServingCost serving_cost(const std::vector<PoolUse>& pools,
                         const TokenCounts& tokens,
                         const std::optional<TokenPrices>& prices);

}  // namespace moesim
