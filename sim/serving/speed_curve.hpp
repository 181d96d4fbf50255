// What a pool's GPUs give together against what each user sees, over the size of the batch: the
// trade that every deployment is a point of. Every attention rank decodes the same number of
// requests with the same context and does nothing else.
//
// The step times are those that the engine looks up (sim/serving/step_time), its overhead between
// steps and the tokens of accepted drafts counted. Batches are powers of two up to what the engine
// takes and the pages hold, and that largest one.
//
// Left out: prompts in the same steps (a colocated pool that serves them is below its curve),
// requests of different lengths, and ranks that wait for fuller ones.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/serving/pool_model.hpp"

namespace moesim {

struct SpeedPoint {
  std::int64_t requests = 0;  // of an attention rank
  Seconds step;               // overhead included
  double tokens_per_s_per_user = 0, tokens_per_s_per_gpu = 0;
};

// `context`: cached tokens of a request. Empty where not even one request fits, or for a pool that
// does not decode. The model has a clock.
std::vector<SpeedPoint> speed_curve(const PoolSpec& pool,
                                    const PoolModel& model,
                                    std::int64_t context);

}  // namespace moesim
