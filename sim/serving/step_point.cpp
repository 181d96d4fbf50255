#include "sim/serving/step_point.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"
#include "model/kernel_plan.hpp"
#include "sim/serving/step_breakdown.hpp"

namespace moesim {
namespace {

RankBatch batch_of(const StepPoint& p) {
  RankBatch b;
  b.decode_requests = p.requests;
  b.decode_context = p.requests * p.context;
  b.prefill_requests = p.prompts;
  b.prefill_tokens = p.prompts * p.prompt_tokens;
  b.prefill_context = p.prompts * (p.prefix + p.prompt_tokens);
  const auto tokens = static_cast<double>(p.prompt_tokens);
  b.prefill_pairs =
      static_cast<double>(p.prompts) * tokens * (static_cast<double>(p.prefix) + tokens / 2);
  return b;
}

PoolSpec sized_for(PoolSpec pool, const StepPoint& p) {
  pool.engine.max_requests = std::max<std::int64_t>(1, p.requests + p.prompts);
  pool.engine.max_batch_tokens =
      p.prompts * p.prompt_tokens + p.requests * (pool.engine.draft_tokens() + 1);
  pool.engine.max_context_tokens = std::max(p.context, p.prefix + p.prompt_tokens);
  return pool;
}

std::int64_t pages_of(const PoolSpec& pool, const StepPoint& p) {
  const std::int64_t decoding =
                         ceil_div(p.context + pool.engine.draft_tokens() + 1, pool.kv.page_tokens),
                     prompt = ceil_div(p.prefix + p.prompt_tokens, pool.kv.page_tokens);
  return p.requests * decoding + p.prompts * prompt;
}

bool fits(const ModelSpec& model, const PoolSpec& pool, const StepPoint& p) {
  const ServingMemory memory = serving_memory(model, sized_for(pool, p));
  return memory.fits && memory.pages >= pages_of(pool, p);
}

StepPoint with_batch(StepPoint p, std::int64_t batch) {
  (p.requests > 0 ? p.requests : p.prompts) = batch;
  return p;
}

// What is held grows with the batch: doubled until it does not fit, then halved in.
std::int64_t largest_batch(const ModelSpec& model, const PoolSpec& pool, const StepPoint& p) {
  constexpr std::int64_t kMost = std::int64_t{1} << 24;  // no GPU holds 16 million requests
  std::int64_t low = 0, high = 1;
  while (high < kMost && fits(model, pool, with_batch(p, high))) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (fits(model, pool, with_batch(p, middle)) ? low : high) = middle;
  }
  return low;
}

}  // namespace

double tokens_per_step(const EngineSpec& engine) {
  double tokens = 1, all_so_far = 1;
  for (const double a : engine.acceptance) {
    all_so_far *= a;
    tokens += all_so_far;
  }
  return tokens;
}

UnitRouting step_routing(const ModelSpec& model,
                         const PoolSpec& pool,
                         const RoutingSpec& routing,
                         const StepPoint& point,
                         std::uint64_t seed,
                         int num_threads,
                         DrawnSamplers& drawn) {
  RoutingSpec of_step = routing;
  // Prompts that are dispatched together by one rank.
  const bool halves = model.moe && pool.plan.ep > 1 && pool.plan.two_batch_overlap;
  const std::int64_t together = std::max<std::int64_t>(1, point.prompts / (halves ? 2 : 1));
  of_step.sequence_cv /= std::sqrt(static_cast<double>(together));
  return unit_routing(model, sized_for(pool, point), of_step, seed, num_threads, drawn);
}

StepPointResult step_point(const ModelSpec& model,
                           const PoolSpec& pool,
                           const RoutingSpec& routing,
                           const StepPoint& point,
                           std::uint64_t seed,
                           int num_threads) {
  DrawnSamplers drawn;
  return step_point(
      model, pool, step_routing(model, pool, routing, point, seed, num_threads, drawn), point);
}

StepPointResult step_point(const ModelSpec& model,
                           const PoolSpec& pool,
                           const UnitRouting& routing,
                           const StepPoint& point) {
  const RankBatch batch = batch_of(point);
  ENSURE(!batch.empty());
  const PoolSpec sized = sized_for(pool, point);
  const ServingCosts costs(model, sized, routing);
  const std::vector<RankBatch> ranks(static_cast<std::size_t>(pool.plan.dp), batch);

  StepPointResult r;
  r.point = point;
  r.breakdown = step_breakdown(StepComposition(costs), ranks);
  r.step = r.breakdown.step;
  const double tokens = tokens_per_step(pool.engine);
  if (point.requests > 0) r.tpot = r.step / tokens;
  const double gpu_seconds = static_cast<double>(pool.plan.tp) * r.step.in(s);
  r.prompt_tokens_per_s_per_gpu = static_cast<double>(batch.prefill_tokens) / gpu_seconds;
  r.output_tokens_per_s_per_gpu = static_cast<double>(point.requests) * tokens / gpu_seconds;
  r.gpus_per_node = pool.cluster.gpus_per_node;
  r.memory = serving_memory(model, sized);
  r.pages_needed = pages_of(pool, point);
  r.fits = r.memory.fits && r.memory.pages >= r.pages_needed;
  r.largest = largest_batch(model, pool, point);
  return r;
}

}  // namespace moesim
