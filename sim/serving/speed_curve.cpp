#include "sim/serving/speed_curve.hpp"

#include <algorithm>

#include "model/kernel_plan.hpp"
#include "sim/serving/step_point.hpp"

namespace moesim {

std::vector<SpeedPoint> speed_curve(const PoolSpec& pool,
                                    const PoolModel& model,
                                    std::int64_t context) {
  ENSURE(model.clock && context >= 0);
  std::vector<SpeedPoint> curve;
  if (pool.role == PoolRole::prefill) return curve;
  const std::int64_t pages =
      ceil_div(context + pool.engine.draft_tokens() + 1, pool.kv.page_tokens);
  const std::int64_t most = std::min(pool.engine.max_requests, model.pages / pages);
  const double tokens = tokens_per_step(pool.engine);
  for (std::int64_t requests = 1; most > 0; requests = std::min(2 * requests, most)) {
    RankBatch batch;
    batch.decode_requests = requests;
    batch.decode_context = requests * context;
    const std::vector<RankBatch> ranks(static_cast<std::size_t>(pool.plan.dp), batch);
    SpeedPoint point;
    point.requests = requests;
    point.step = to_seconds(model.clock->step_time(ranks)) + pool.engine.step_overhead;
    point.tokens_per_s_per_user = tokens / point.step.in(s);
    point.tokens_per_s_per_gpu = point.tokens_per_s_per_user *
                                 static_cast<double>(requests * pool.plan.dp) /
                                 static_cast<double>(pool.plan.num_gpus());
    curve.push_back(point);
    if (requests == most) break;
  }
  return curve;
}

}  // namespace moesim
