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
// budget of a step as one prompt, and nothing else (steps with decoding requests are slower, so
// this is a bound). Places and pages are of all ranks.
struct UnitCapacity {
  double prompt_tokens_per_tick = 0;  // 0 for decode
  double places = 0, pages = 0;
};
UnitCapacity capacity_of(const PoolSpec& pool, const PoolModel& model);

// Work that has to be done in so much time: a trace's, and its length with what may come after its
// last arrival.
struct ServingWork {
  double prompt_tokens = 0;  // to be computed: cached ones left out
  double output_tokens = 0;  // beyond the first of each request
  Tick within = 0;
};
// Fewer units than this cannot do it, however requests arrive: prompts at a unit's rate, and output
// tokens at the best rate of decoding alone over batches of 1, 2, 4 ... requests a rank, with no
// context; of a colocated unit the longer of both, since they may share steps. Queueing asks for
// more.
std::int64_t least_units(const PoolSpec& pool, const PoolModel& model, const ServingWork& work);

}  // namespace moesim
