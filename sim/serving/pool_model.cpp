#include "sim/serving/pool_model.hpp"

#include <algorithm>

namespace moesim {

UnitCapacity capacity_of(const PoolSpec& pool, const PoolModel& model) {
  const auto ranks = static_cast<double>(pool.plan.dp);
  UnitCapacity capacity;
  capacity.places = ranks * static_cast<double>(pool.engine.max_requests);
  capacity.pages = ranks * static_cast<double>(model.pages);
  if (pool.role == PoolRole::decode) return capacity;
  RankBatch chunk;
  chunk.prefill_requests = 1;
  // One token of the context is the output's.
  chunk.prefill_tokens =
      std::min(pool.engine.max_batch_tokens, pool.engine.max_context_tokens - 1);
  chunk.prefill_context = chunk.prefill_tokens;
  const auto tokens = static_cast<double>(chunk.prefill_tokens);
  chunk.prefill_pairs = tokens * tokens / 2;
  const std::vector<RankBatch> batch(static_cast<std::size_t>(pool.plan.dp), chunk);
  const Tick step = model.clock->step_time(batch) + to_tick(pool.engine.step_overhead);
  capacity.prompt_tokens_per_tick = ranks * tokens / static_cast<double>(std::max<Tick>(step, 1));
  return capacity;
}

}  // namespace moesim
