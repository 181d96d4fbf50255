// How long a step of a serving unit takes. The engine asks once a step, so answers come from tables
// that are made when the model of a pool is: nothing here runs a kernel model in the loop.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/units.hpp"

namespace moesim {

// What one attention rank does in a step. Prefill: chunks of prompts behind what is already in the
// cache. Decode: sequences with draft_tokens() + 1 query tokens each.
struct RankBatch {
  std::int64_t decode_requests = 0;
  std::int64_t decode_context = 0;  // cached tokens of all of them together
  std::int64_t prefill_requests = 0, prefill_tokens = 0;
  std::int64_t prefill_context =
      0;                     // tokens seen by the last of each chunk, summed: prefix + chunk
  double prefill_pairs = 0;  // (query, key) pairs, causal: chunk * prefix + chunk^2 / 2
  bool empty() const { return decode_requests == 0 && prefill_tokens == 0; }
};

// [dp] batches of a unit, one a rank, to the time until all have their results. Oracles of queueing
// theory put simple servers here.
class StepClock {
 public:
  virtual ~StepClock() = default;
  virtual Tick step_time(std::span<const RankBatch> ranks) const = 0;
};

}  // namespace moesim
