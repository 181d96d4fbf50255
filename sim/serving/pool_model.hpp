// What a pool's units are made of, ready for simulation: how long their steps take and what their
// memory holds. Made by the step-time and memory models.
#pragma once

#include <memory>

#include "model/serving/serving_spec.hpp"
#include "sim/serving/step_time.hpp"

namespace moesim {

struct PoolModel {
  std::shared_ptr<const StepClock> clock;
  std::int64_t pages = 0;  // of an attention rank
  Bytes kv_per_token;      // of an attention rank, all layers
};

// What one unit of a pool can do at most. Prompts: every rank computes a full chunk, the whole
// budget of a step as one prompt, and nothing else (steps with decoding requests are slower, so this
// is a bound). Places and pages are of all ranks.
struct UnitCapacity {
  double prompt_tokens_per_tick = 0;  // 0 for decode
  double places = 0, pages = 0;
};
UnitCapacity capacity_of(const PoolSpec& pool, const PoolModel& model);

}  // namespace moesim
