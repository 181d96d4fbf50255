// Fixed batches: rates from step times, memory of the step, the largest batch.
#include "sim/serving/step_point.hpp"
#include "tests/catch.hpp"
#include "tests/serving_pools.hpp"

using namespace moesim;

TEST_CASE("step point: rates of a decoding step", "[serving][point]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  PoolSpec pool = with_redundant_experts(h100_pool(PoolRole::decode, 72));
  const RoutingSpec routing = v3_routing(RoutingKind::balanced);
  StepPoint point{.name = "decode", .pool = "pool", .requests = 128, .context = 2000};
  const StepPointResult r = step_point(v3, pool, routing, point, 1);
  CHECK(r.tpot == r.step);
  CHECK(r.output_tokens_per_s_per_gpu == Approx(128 / r.step.in(s)));
  CHECK(r.prompt_tokens_per_s_per_gpu == 0);
  CHECK(r.tokens_per_s_per_node() == Approx(8 * 128 / r.step.in(s)));
  CHECK(r.fits);
  CHECK(r.pages_needed == 128 * 32);  // 2,001 tokens in pages of 64
  // The largest batch fits, one more does not.
  CHECK(r.largest > 128);
  point.requests = r.largest;
  CHECK(step_point(v3, pool, routing, point, 1).fits);
  point.requests = r.largest + 1;
  CHECK_FALSE(step_point(v3, pool, routing, point, 1).fits);

  pool.engine.acceptance = {0.85, 0.6};
  CHECK(tokens_per_step(pool.engine) == Approx(1 + 0.85 + 0.85 * 0.6));
  point.requests = 64;
  const StepPointResult drafts = step_point(v3, pool, routing, point, 1);
  CHECK(drafts.tpot.in(ms) == Approx(drafts.step.in(ms) / (1 + 0.85 + 0.51)));
  CHECK(drafts.output_tokens_per_s_per_gpu == Approx(64 / drafts.tpot.in(s)));
}

TEST_CASE("step point: rates of prompts over tensor-parallel ranks", "[serving][point]") {
  const ModelSpec v3 = shipped_model("deepseek-v3");
  PoolSpec pool = h100_pool(PoolRole::prefill, 32);
  pool.plan.tp = 4;
  pool.plan.dp = 8;
  const StepPoint point{
      .name = "prefill", .pool = "pool", .prompts = 2, .prompt_tokens = 4096, .prefix = 1000};
  const StepPointResult r = step_point(v3, pool, v3_routing(RoutingKind::balanced), point, 1);
  CHECK(r.prompt_tokens_per_s_per_gpu == Approx(2 * 4096 / r.step.in(s) / 4));
  CHECK(r.output_tokens_per_s_per_gpu == 0);
  CHECK(r.tpot == Seconds());
  CHECK(r.pages_needed == 2 * 80);  // 5,096 tokens
}
