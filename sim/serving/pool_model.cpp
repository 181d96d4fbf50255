#include "sim/serving/pool_model.hpp"

#include <algorithm>
#include <cmath>

namespace moesim {
namespace {

// Mean of what a request gets in a step: a token, and the drafts up to the first refused one.
double tokens_per_step(const EngineSpec& engine) {
  double tokens = 1, accepted = 1;
  for (const double chance : engine.acceptance) tokens += accepted *= chance;
  return tokens;
}

double best_decode_tokens_per_tick(const PoolSpec& pool, const PoolModel& model) {
  const auto ranks = static_cast<double>(pool.plan.dp);
  double best = 0;
  for (std::int64_t requests = 1;; requests = std::min(2 * requests, pool.engine.max_requests)) {
    RankBatch decode;
    decode.decode_requests = requests;
    const std::vector<RankBatch> batch(static_cast<std::size_t>(pool.plan.dp), decode);
    const Tick step = model.clock->step_time(batch) + to_tick(pool.engine.step_overhead);
    best = std::max(best,
                    ranks * static_cast<double>(requests) * tokens_per_step(pool.engine) /
                        static_cast<double>(std::max<Tick>(step, 1)));
    if (requests == pool.engine.max_requests) return best;
  }
}

}  // namespace

UnitCapacity capacity_of(const PoolSpec& pool, const PoolModel& model) {
  const auto ranks = static_cast<double>(pool.plan.dp);
  UnitCapacity capacity;
  capacity.places = ranks * static_cast<double>(pool.engine.max_requests);
  capacity.pages = ranks * static_cast<double>(model.pages);
  if (pool.role == PoolRole::decode) return capacity;
  RankBatch chunk;
  chunk.prefill_requests = 1;
  // One token of the context is the output's.
  chunk.prefill_tokens = std::min(pool.engine.max_batch_tokens, pool.engine.max_context_tokens - 1);
  chunk.prefill_context = chunk.prefill_tokens;
  const auto tokens = static_cast<double>(chunk.prefill_tokens);
  chunk.prefill_pairs = tokens * tokens / 2;
  const std::vector<RankBatch> batch(static_cast<std::size_t>(pool.plan.dp), chunk);
  const Tick step = model.clock->step_time(batch) + to_tick(pool.engine.step_overhead);
  capacity.prompt_tokens_per_tick = ranks * tokens / static_cast<double>(std::max<Tick>(step, 1));
  return capacity;
}

std::int64_t least_units(const PoolSpec& pool, const PoolModel& model, const ServingWork& work) {
  ENSURE(work.within > 0);
  double ticks = 0;  // of one unit
  if (pool.role != PoolRole::decode)
    ticks = work.prompt_tokens / capacity_of(pool, model).prompt_tokens_per_tick;
  if (pool.role != PoolRole::prefill)
    ticks = std::max(ticks, work.output_tokens / best_decode_tokens_per_tick(pool, model));
  const double units = ticks / static_cast<double>(work.within);
  // A load of exactly n units is n whatever the rounding of the division.
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil(units - 1e-9)));
}

}  // namespace moesim
