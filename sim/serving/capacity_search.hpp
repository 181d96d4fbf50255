// The fewest GPUs that serve a load as it is asked for. What is searched is the number of units of
// one pool, or of two (prefill and decode); whether so many units hold is asked of a callback,
// which is expensive: a simulation.
//
// More units are taken to be no worse, which halving needs, and simulations nearly keep: routing
// among more units reshuffles which requests share a step. So what was found is looked at from all
// sides before it is believed, and every pair of points that contradicts it is reported.
//
//   grow      from the least units that throughput alone asks for, doubled until they hold
//   corners   the fewest units of each pool when the other has plenty: no answer has fewer
//   rows      with two pools: unit by unit of the first, whether fewer of the second than would
//             cost as much as the best can do, and if so how few
//   verify    one unit less of each pool must fail (else it is better, and verified in turn), one
//             more must hold
//   sweep     around the answer: for each number of the first pool the fewest of the second
//
// Points are evaluated in batches that do not depend on the number of threads, and so neither does
// what is found. Left out: more than two pools, and searching how units are built.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace moesim {

struct CapacityPool {
  std::string name;
  std::int64_t gpus_per_unit = 1;
  std::int64_t least = 1, most = 1;  // units; `least` is a bound from throughput
};

struct CapacityEvaluation {
  bool holds = false;
  double margin = 0;    // of the constraint that is closest or worst: (limit - value) / limit
  std::string binding;  // which one that is
};

struct CapacityPoint {
  std::vector<std::int64_t> units;  // [pool]
  std::int64_t gpus = 0;
  CapacityEvaluation found;
};

// More GPUs that do not hold where fewer do.
struct CapacitySurprise {
  CapacityPoint holds, fails;
};

struct CapacityRequest {
  std::vector<CapacityPool> pools;  // one or two
  // Called from several threads at once; must depend on nothing but the units.
  std::function<CapacityEvaluation(const std::vector<std::int64_t>& units)> evaluate;
  std::int64_t budget = 200;  // evaluations at most
  std::int64_t sweep = 0;     // rows on each side of the answer
  int num_threads = 1;
};

struct CapacityResult {
  std::optional<CapacityPoint> best;  // nothing when not even `most` units hold
  CapacityPoint closest;              // the largest margin seen: `best`, or how far away it is
  std::vector<CapacityPoint> sweep;   // fewest of the second pool for each of the first
  std::vector<CapacitySurprise> surprises;
  std::vector<CapacityPoint> evaluated;  // in order
  bool complete = true;                  // false: the budget ran out before the end
};

CapacityResult search_capacity(const CapacityRequest& request);

// Units beyond `needed` so that at least these are up with the wanted chance, each being up with
// `availability` (mean time between failures over that and repair) whatever the others are.
std::int64_t fewest_spares(std::int64_t needed, double availability, double wanted);

}  // namespace moesim
