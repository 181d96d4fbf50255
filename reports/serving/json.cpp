// The document of `moesim run --json` on a serving scenario. Flat groups, SI units last in the key.
#include "reports/serving/serving_bench_json.hpp"
#include "reports/serving/serving_sections.hpp"

namespace moesim {
namespace {

JsonValue optional_json(const std::optional<Dollars>& dollars) {
  return dollars ? JsonValue(dollars->in(USD)) : JsonValue();
}
JsonValue optional_json(const std::optional<double>& number) {
  return number ? JsonValue(*number) : JsonValue();
}

JsonValue memory_json(const ServingMemory& memory) {
  JsonValue object = JsonValue::object();
  for (const ServingMemoryLine& line : memory.lines) object.set(line.key, line.bytes.in(B));
  return object.set("total_bytes", memory.total().in(B))
      .set("budget_bytes", memory.budget.in(B))
      .set("kv_per_token_bytes", memory.kv_per_token.in(B))
      .set("pages", memory.pages)
      .set("page_tokens", memory.page_tokens)
      .set("fits", memory.fits ? 1 : 0);
}

JsonValue step_json(const StepPointResult& r) {
  JsonValue breakdown = JsonValue::object(), origins = JsonValue::object();
  for (const StepPart& part : r.breakdown.parts)
    breakdown.set(std::string(part.key), part.time.in(s));
  for (std::size_t i = 0; i < kNumOrigins; ++i)
    origins.set(kOriginNames[i], r.breakdown.origin_share[i]);
  return JsonValue::object()
      .set("name", r.point.name)
      .set("pool", r.point.pool)
      .set("step_time_s", r.step.in(s))
      .set("tpot_s", r.tpot.in(s))
      .set("prompt_tokens_per_s_per_gpu", r.prompt_tokens_per_s_per_gpu)
      .set("output_tokens_per_s_per_gpu", r.output_tokens_per_s_per_gpu)
      .set("tokens_per_s_per_node", r.tokens_per_s_per_node())
      .set("gpus_per_node", r.gpus_per_node)
      .set("dispatch_per_layer_s", r.breakdown.dispatch.in(s))
      .set("exposed_communication_per_layer_s", r.breakdown.exposed_communication.in(s))
      .set("rank_rows_max_over_mean", r.breakdown.max_over_mean_rows)
      .set("overlapped", r.breakdown.overlapped)
      .set("fits", r.fits ? 1 : 0)
      .set("largest_batch", r.largest)
      .set("kv_pages_needed", r.pages_needed)
      .set("breakdown", std::move(breakdown))
      .set("origins", std::move(origins))
      .set("memory", memory_json(r.memory));
}

JsonValue use_json(const PoolSpec& spec, const PoolResult& r, double end) {
  const double node_seconds = r.gpu_time.in(s) / static_cast<double>(spec.cluster.gpus_per_node);
  const double nodes_per_unit =
      static_cast<double>(spec.plan.num_gpus()) / static_cast<double>(spec.cluster.gpus_per_node);
  const auto per_node = [&](std::int64_t tokens) {
    return node_seconds > 0 ? static_cast<double>(tokens) / node_seconds : 0;
  };
  const double up_pages = r.capacity.pages * r.up_ticks;
  return JsonValue::object()
      .set("mean_units", r.provisioned_ticks / end)
      .set("peak_units", r.peak_units)
      .set("mean_nodes", nodes_per_unit * r.provisioned_ticks / end)
      .set("peak_nodes", nodes_per_unit * static_cast<double>(r.peak_units))
      .set("gpu_time_s", r.gpu_time.in(s))
      .set("busy_share", r.up_ticks > 0 ? static_cast<double>(r.total.busy) / r.up_ticks : 0)
      .set("kv_share", up_pages > 0 ? r.total.kv_page_ticks / up_pages : 0)
      .set("mean_running", r.total.running_ticks / end)
      .set("mean_waiting", r.total.waiting_ticks / end)
      .set("steps", r.total.steps)
      .set("prompt_tokens", r.total.prompt_tokens)
      .set("recomputed_tokens", r.total.recomputed_tokens)
      .set("cached_tokens", r.total.cached_tokens)
      .set("output_tokens", r.total.output_tokens)
      .set("input_tokens_per_s_per_node", per_node(r.total.prompt_tokens + r.total.cached_tokens))
      .set("output_tokens_per_s_per_node", per_node(r.total.output_tokens))
      .set("drafted_tokens", r.total.drafted_tokens)
      .set("accepted_tokens", r.total.accepted_tokens)
      .set("preemptions", r.total.preemptions)
      .set("failures", r.failures)
      .set("scaler_changes", static_cast<std::int64_t>(r.decisions.size()));
}

JsonValue pool_json(const PoolSpec& spec,
                    const PoolSetup& setup,
                    const PoolResult* result,
                    double end) {
  JsonValue pool = JsonValue::object();
  pool.set("name", spec.name)
      .set("role", kPoolRoleNames[static_cast<std::size_t>(spec.role)])
      .set("gpus_per_unit", spec.plan.num_gpus())
      .set("gpus_per_node", spec.cluster.gpus_per_node);
  if (result != nullptr) pool.set("use", use_json(spec, *result, end));
  return pool.set("memory", memory_json(setup.memory));
}

JsonValue series_json(const ServingScenario& scenario, const ServingResult& result) {
  JsonValue list = JsonValue::array();
  for (const SeriesPoint& point : result.series) {
    JsonValue pools = JsonValue::object();
    for (std::size_t i = 0; i < point.pools.size(); ++i) {
      const PoolPoint& p = point.pools[i];
      pools.set(scenario.serving.pools[i].name,
                JsonValue::object()
                    .set("units_up", p.units_up)
                    .set("units_provisioned", p.units_provisioned)
                    .set("busy_units", p.busy_units)
                    .set("fewest_units", p.fewest_units)
                    .set("running", p.running)
                    .set("waiting", p.waiting)
                    .set("kv_share", p.kv_share)
                    .set("prompt_tokens", p.prompt_tokens)
                    .set("cached_tokens", p.cached_tokens)
                    .set("output_tokens", p.output_tokens));
    }
    list.push(JsonValue::object()
                  .set("start_s", to_seconds(point.start).in(s))
                  .set("length_s", to_seconds(point.length).in(s))
                  .set("arrivals", point.arrivals)
                  .set("served", point.served)
                  .set("refused", point.refused)
                  .set("pools", std::move(pools)));
  }
  return list;
}

JsonValue cost_json(const ServingCost& cost) {
  return JsonValue::object()
      .set("gpu_hours", cost.gpu_hours)
      .set("total_usd", cost.total.in(USD))
      .set("per_million_input_usd", optional_json(cost.per_million_input))
      .set("per_million_computed_input_usd", optional_json(cost.per_million_computed_input))
      .set("per_million_output_usd", optional_json(cost.per_million_output))
      .set("all_per_million_output_usd", optional_json(cost.all_per_million_output))
      .set("all_per_million_tokens_usd", optional_json(cost.all_per_million_tokens))
      .set("revenue_usd", optional_json(cost.revenue))
      .set("margin", optional_json(cost.margin))
      .set("most_energy_j", cost.most_energy ? JsonValue(cost.most_energy->in(J)) : JsonValue())
      .set("most_energy_per_output_token_j", optional_json(cost.most_joules_per_output_token));
}

JsonValue distribution_json(const Distribution& d) {
  return JsonValue::object()
      .set("mean", d.mean)
      .set("p50", d.median)
      .set("p90", d.percentile(90))
      .set("p99", d.percentile(99));
}

JsonValue metrics_json(const ServingRun& run) {
  JsonValue metrics = JsonValue::object();
  if (run.runs.empty()) return metrics;
  const SeedRun& r = run.runs.front();
  const ServingMetrics& m = r.metrics;
  double gpu_seconds = 0;
  const double end = to_seconds(r.cluster.end).in(s);
  for (const PoolResult& pool : r.cluster.pools) gpu_seconds += pool.gpu_time.in(s);
  const double gpus = gpu_seconds / end;
  return metrics.set("window_s", m.duration_s())
      .set("requests", m.requests)
      .set("served", m.served())
      .set("requests_per_s", m.request_throughput())
      .set("input_tokens_per_s", m.input_throughput())
      .set("output_tokens_per_s", m.output_throughput())
      .set("gpus_provisioned", gpus)
      .set("output_tokens_per_s_per_gpu", gpus > 0 ? m.output_throughput() / gpus : 0)
      .set("total_tokens_per_s_per_gpu", gpus > 0 ? m.total_throughput() / gpus : 0)
      .set("ttft_s", distribution_json(m.ttft_s))
      .set("queue_s", distribution_json(m.queue_s))
      .set("tpot_s", distribution_json(m.tpot_s))
      .set("itl_s", distribution_json(m.itl_s))
      .set("e2e_s", distribution_json(m.e2e_s))
      .set("tokens_per_s_per_user", distribution_json(m.tokens_per_s_per_user))
      .set("goodput_share", m.goodput_share())
      .set("goodput_requests_per_s", m.request_goodput())
      .set("goodput_tokens_per_s", m.token_goodput())
      .set("cached_share", m.cached_share())
      .set("preemptions", m.preemptions)
      .set("saturated", m.saturation.is_saturated ? 1 : 0)
      .set("gpu_hours", r.cost.gpu_hours)
      .set("cost_usd", r.cost.total.in(USD));
}

JsonValue requests_json(const SeedRun& run) {
  const ServingResult& c = run.cluster;
  return JsonValue::object()
      .set("read", run.requests.read)
      .set("outside_window", run.requests.outside_window)
      .set("too_long", run.requests.too_long)
      .set("truncated", run.requests.truncated)
      .set("zero_dropped", run.requests.zero_dropped)
      .set("zero_to_one", run.requests.zero_to_one)
      .set("arrived", c.taken)
      .set("served", c.served)
      .set("rejected_context", c.rejected_context)
      .set("rejected_memory", c.rejected_memory)
      .set("rejected_queue", c.rejected_queue)
      .set("lost", c.lost)
      .set("inside_at_end", c.inside)
      .set("requeued", c.requeued);
}

JsonValue intervals_json(const ServingRun& run, const ServingUncertainty& uncertainty) {
  JsonValue object = JsonValue::object();
  const auto add = [&](const std::string& key, const std::function<double(const ServingRun&)>& of) {
    const Interval interval = interval_of(run, uncertainty, of);
    object.set(key, JsonValue::array().push(interval.low).push(interval.high));
  };
  for (std::size_t i = 0; i < run.steps.size(); ++i)
    add("steps/" + std::to_string(i) + "/step_time_s",
        [i](const ServingRun& r) { return r.steps[i].step.in(s); });
  if (!run.runs.empty())
    for (const char* key : {"ttft_s/mean",
                            "ttft_s/p50",
                            "ttft_s/p99",
                            "tpot_s/mean",
                            "tpot_s/p50",
                            "tpot_s/p99",
                            "output_tokens_per_s_per_gpu"})
      add(key, [key](const ServingRun& r) {
        return metrics_json(r).number_at("/" + std::string(key)).value();
      });
  return object;
}

}  // namespace

JsonValue serving_json(const ServingScenario& scenario,
                       const ServingRun& run,
                       const std::optional<ServingUncertainty>& uncertainty) {
  JsonValue document = JsonValue::object();
  document.set("schema_version", 1)
      .set("scenario", JsonValue::object().set("name", scenario.name).set("hash", scenario.hash))
      .set("profile", scenario.profile.id)
      .set("seed", scenario.seed)
      .set("feasible", run.feasible)
      .set("metrics", metrics_json(run));
  if (uncertainty) document.set("intervals", intervals_json(run, *uncertainty));
  const SeedRun* first = run.runs.empty() ? nullptr : &run.runs.front();
  JsonValue pools = JsonValue::array(), steps = JsonValue::array();
  for (std::size_t i = 0; i < run.pools.size(); ++i)
    pools.push(pool_json(scenario.serving.pools[i],
                         run.pools[i],
                         first != nullptr ? &first->cluster.pools[i] : nullptr,
                         first != nullptr ? static_cast<double>(first->cluster.end) : 1));
  for (const StepPointResult& step : run.steps) steps.push(step_json(step));
  document.set("steps", std::move(steps)).set("pools", std::move(pools));
  if (first != nullptr) {
    document.set("requests", requests_json(*first))
        .set("cost", cost_json(first->cost))
        .set("vllm", vllm_bench_json(first->metrics))
        .set("aiperf", aiperf_json(first->metrics))
        .set("series", series_json(scenario, first->cluster));
  }
  JsonValue warnings = JsonValue::array();
  for (const std::string& warning : run.warnings) warnings.push(warning);
  return document.set("warnings", std::move(warnings));
}

}  // namespace moesim
