#include "sim/serving/run_serving.hpp"

#include <algorithm>
#include <limits>

#include "model/json_message.hpp"
#include "model/parallel_for.hpp"
#include "model/popularity.hpp"
#include "sim/serving/time_compression.hpp"

namespace moesim {
namespace {

const PoolSpec& pool_named(const ServingSpec& serving, const std::string& name) {
  const auto pool = std::find_if(serving.pools.begin(),
                                 serving.pools.end(),
                                 [&](const PoolSpec& p) { return p.name == name; });
  ENSURE(pool != serving.pools.end());  // checked when it was read
  return *pool;
}

// By when a class wants its first token; one that does not say waits longest.
std::vector<Tick> first_token_deadlines(const RequestSpec& requests) {
  std::vector<Tick> deadlines;
  for (const RequestClass& c : requests.classes)
    deadlines.push_back(c.slo.ttft ? to_tick(*c.slo.ttft) : std::numeric_limits<Tick>::max() / 2);
  return deadlines;
}

std::vector<PoolUse> use_of(const ServingSpec& serving, const ServingResult& result) {
  std::vector<PoolUse> use;
  for (std::size_t i = 0; i < serving.pools.size(); ++i)
    use.push_back({serving.pools[i].role,
                   result.pools[i].gpu_time.in(s),
                   serving.pools[i].cluster.price,
                   serving.pools[i].cluster.gpu.max_power});
  return use;
}

TokenCounts tokens_of(const ServingResult& result) {
  TokenCounts tokens;
  for (const PoolResult& pool : result.pools) {
    tokens.cached_input += static_cast<double>(pool.total.cached_tokens);
    tokens.input +=
        static_cast<double>(pool.total.cached_tokens + pool.total.prompt_tokens -
                            pool.total.recomputed_tokens);
    tokens.output += static_cast<double>(pool.total.output_tokens);
  }
  return tokens;
}

void warn_of_memory(const ServingScenario& scenario, ServingRun& run) {
  for (std::size_t i = 0; i < run.pools.size(); ++i) {
    const PoolSpec& pool = scenario.serving.pools[i];
    const ServingMemory& memory = run.pools[i].memory;
    if (memory.fits) continue;
    run.feasible = false;
    run.warnings.push_back(
        "pool " + one_line(pool.name) +
        " does not fit in memory; see the memory table. More GPUs a unit, fewer bits a weight, a "
        "smaller max_batch_tokens or experts in tiers make room");
  }
  for (const StepPointResult& step : run.steps)
    if (!step.fits) {
      run.feasible = false;
      run.warnings.push_back(
          "step " + in_quotes(one_line(step.point.name)) + " does not fit in memory: " +
          (step.memory.fits ? std::to_string(step.pages_needed) + " KV pages are needed and " +
                                  std::to_string(step.memory.pages) + " there"
                            : "weights and activations alone are too large"));
    }
}

void warn_of_profiles(const ServingScenario& scenario, ServingRun& run) {
  std::vector<std::string> said;
  for (const PoolSpec& pool : scenario.serving.pools) {
    const Profile& profile = pool.profile;
    if (profile.gpu.name == pool.cluster.gpu.name && profile.kind != ProfileKind::derived) continue;
    std::string text =
        "profile " + profile.id + " was " +
        (profile.kind == ProfileKind::derived
             ? "derived from " + profile.derived_from + ", not measured"
             : "measured on " + profile.gpu.name + ", not on " + pool.cluster.gpu.name) +
        ": rates are carried over by datasheet ratios and count as extrapolated; calibrate on the "
        "GPU itself to remove this";
    if (std::find(said.begin(), said.end(), text) == said.end()) said.push_back(std::move(text));
  }
  run.warnings.insert(run.warnings.end(), said.begin(), said.end());
}

// Steps of a pool whose experts lie in tiers. All layers are as popular as the first.
std::shared_ptr<const ExpertTierClock> with_expert_tiers(const ServingScenario& scenario,
                                                   const PoolSpec& pool,
                                                   std::shared_ptr<const StepClock> clock) {
  const MoeSpec& moe = *scenario.model.moe;
  const std::vector<double> load =
      scenario.routing.kind == RoutingKind::balanced
          ? std::vector<double>(static_cast<std::size_t>(moe.num_experts), 1.0)
          : relative_load(scenario.routing.popularity, moe.num_experts, scenario.seed, 0);
  const bool shared = pool.plan.ep > 1;
  const std::int64_t drafts = pool.engine.draft_tokens() + 1;
  const std::int64_t most =
      std::max(pool.engine.max_batch_tokens, pool.engine.max_requests * drafts) *
      (shared ? pool.plan.dp : 1);
  ExpertCacheTable table(
      expert_cache_problem(*pool.expert_tiers, scenario.model, pool.plan, load),
      most,
      scenario.seed);
  return std::make_shared<const ExpertTierClock>(
      std::move(clock), std::move(table), scenario.model.num_moe_layers(), drafts, shared);
}

}  // namespace

ServingRouting draw_routing(const ServingScenario& scenario, int num_threads) {
  ServingRouting routing;
  DrawnSamplers drawn;
  for (const PoolSpec& pool : scenario.serving.pools)
    routing.pools.push_back(
        scenario.requests
            ? unit_routing(scenario.model, pool, scenario.routing, scenario.seed, num_threads, drawn)
            : UnitRouting());
  for (const StepPoint& point : scenario.steps)
    routing.steps.push_back(step_routing(scenario.model,
                                         pool_named(scenario.serving, point.pool),
                                         scenario.routing,
                                         point,
                                         scenario.seed,
                                         num_threads,
                                         drawn));
  return routing;
}

std::vector<PoolSetup> set_up_pools(const ServingScenario& scenario,
                                    const ServingRouting& routing,
                                    int num_threads) {
  std::vector<PoolSetup> setups;
  for (std::size_t i = 0; i < scenario.serving.pools.size(); ++i) {
    const PoolSpec& pool = scenario.serving.pools[i];
    PoolSetup setup;
    setup.memory = serving_memory(scenario.model, pool);
    setup.model = {nullptr, setup.memory.pages, setup.memory.kv_per_token};
    if (scenario.requests) {
      setup.model.clock = std::make_shared<const StepTimeModel>(
          scenario.model, pool, routing.pools[i], num_threads);
      if (pool.expert_tiers) {
        const auto clock = with_expert_tiers(scenario, pool, std::move(setup.model.clock));
        setup.expert_tiers = expert_tier_points(pool, *clock);
        setup.model.clock = clock;
      }
    }
    setups.push_back(std::move(setup));
  }
  return setups;
}

SeedRun serve_requests(const ServingScenario& whole,
                       const std::vector<PoolSetup>& pools,
                       std::uint64_t seed,
                       const std::vector<SloBound>& bounds) {
  ENSURE(whole.requests);
  const std::int64_t factor = whole.measure.compress_time;
  const ServingScenario scenario = factor > 1 ? compressed(whole) : whole;
  SeedRun run;
  run.seed = seed;
  const std::unique_ptr<RequestSource> source = make_source(*scenario.requests, seed);
  std::vector<PoolModel> models;
  for (const PoolSetup& pool : pools) models.push_back(pool.model);
  ServingOptions options;
  options.seed = seed;
  if (scenario.measure.stop_after) options.until = to_tick(*scenario.measure.stop_after);
  options.first_token_deadline = first_token_deadlines(*scenario.requests);
  MetricsSettings settings;
  settings.warm_up = scenario.measure.warm_up;
  add_percentiles(settings, bounds);
  MetricsRecorder recorder(settings, scenario.requests->classes);
  run.cluster = simulate_serving(scenario.serving, *source, models, recorder, options);
  run.simulated = run.cluster.taken;
  run.metrics = recorder.metrics();
  if (factor > 1) {
    scale_up(run.cluster, factor);
    scale_up(run.metrics, factor);
  }
  if (!bounds.empty()) run.slo = check(bounds, run.metrics);
  run.requests = source->counts();
  run.cost = serving_cost(
      use_of(scenario.serving, run.cluster), tokens_of(run.cluster), scenario.prices);
  return run;
}

ServingRun run_serving(const ServingScenario& scenario, const ServingRunOptions& options) {
  const auto tell = [&](const std::string& what) {
    if (options.progress) options.progress(what);
  };
  std::vector<SloBound> bounds;
  if (!scenario.measure.slo.empty())
    bounds = parse_slo(scenario.measure.slo, scenario.measure.slo_place);
  ServingRun run;
  tell("routing");
  run.routing =
      options.routing
          ? options.routing
          : std::make_shared<const ServingRouting>(draw_routing(scenario, options.num_threads));
  tell("step times");
  run.pools = set_up_pools(scenario, *run.routing, options.num_threads);
  for (std::size_t i = 0; i < scenario.steps.size(); ++i) {
    const StepPoint& point = scenario.steps[i];
    tell("step " + point.name);
    run.steps.push_back(step_point(scenario.model,
                                   pool_named(scenario.serving, point.pool),
                                   run.routing->steps[i],
                                   point));
  }
  warn_of_memory(scenario, run);
  if (scenario.requests && run.feasible) {
    tell("requests");
    run.runs.resize(static_cast<std::size_t>(scenario.measure.seeds));
    parallel_for(run.runs.size(), options.num_threads, [&](std::size_t i) {
      run.runs[i] = serve_requests(scenario, run.pools, scenario.seed + i, bounds);
    });
  }
  warn_of_profiles(scenario, run);
  return run;
}

}  // namespace moesim
