// The document of `moesim run --json` and report.json. Flat groups, SI units last in the key.
#include <algorithm>

#include "reports/operations_json.hpp"
#include "reports/report.hpp"

namespace moesim {
namespace {

template <class Names, class Values>
JsonValue flat(const Names& names, const Values& values) {
  JsonValue object = JsonValue::object();
  for (std::size_t i = 0; i < values.size(); ++i) object.set(std::string(names[i].key), values[i]);
  return object;
}

JsonValue memory_json(const std::vector<RankMemory>& memory, Bytes hbm) {
  JsonValue list = JsonValue::array();
  for (const RankMemory& rank : memory) {
    JsonValue item = JsonValue::object();
    item.set("pp_rank", rank.pp_rank);
    for (const MemoryPart& part : rank.parts) item.set(part.key, part.bytes.in(B));
    item.set("total_bytes", rank.total().in(B));
    item.set("hbm_bytes", hbm.in(B));
    list.push(std::move(item));
  }
  return list;
}

const char* step_kind_name(StepKind kind) {
  switch (kind) {
    case StepKind::forward: return "forward";
    case StepKind::backward: return "backward";
    case StepKind::backward_input: return "backward_input";
    case StepKind::weight: return "weight";
    case StepKind::forward_backward: return "forward_backward";
  }
  throw std::logic_error("step kind without a name");
}

// The fullest rank's worst moment.
JsonValue memory_peak_json(const std::vector<MemoryCurve>& curves) {
  const MemoryCurve& fullest = *std::max_element(
      curves.begin(), curves.end(), [](const MemoryCurve& a, const MemoryCurve& b) {
        return a.peak.bytes < b.peak.bytes;
      });
  const ScheduleStep& step = fullest.peak_of;
  const bool forward = step.kind == StepKind::forward || step.kind == StepKind::forward_backward;
  const Chunk& chunk = forward ? step.f : step.b;
  return JsonValue::object()
      .set("pp_rank", fullest.pp_rank)
      .set("time_s", to_seconds(fullest.peak.at).in(s))
      .set("step", static_cast<std::int64_t>(fullest.peak_step))
      .set("step_kind", step_kind_name(step.kind))
      .set("microbatch", static_cast<std::int64_t>(chunk.microbatch))
      .set("part", static_cast<std::int64_t>(chunk.part))
      .set("bytes", fullest.peak.bytes.in(B));
}

JsonValue memory_over_time_json(const std::vector<MemoryCurve>& curves) {
  constexpr std::size_t kMostPoints = 200;  // a rank; a chart has no more pixels to show
  JsonValue list = JsonValue::array();
  for (const MemoryCurve& curve : curves) {
    JsonValue times = JsonValue::array(), bytes = JsonValue::array();
    for (const MemoryPoint& point : thinned(curve.points, kMostPoints)) {
      times.push(to_seconds(point.at).in(s));
      bytes.push(point.bytes.in(B));
    }
    list.push(JsonValue::object()
                  .set("pp_rank", curve.pp_rank)
                  .set("time_s", std::move(times))
                  .set("bytes", std::move(bytes)));
  }
  return list;
}

JsonValue memory_advice_json(const std::vector<MemoryAdvice>& advice) {
  JsonValue list = JsonValue::array();
  for (const MemoryAdvice& row : advice)
    list.push(JsonValue::object()
                  .set("change", row.change)
                  .set("saved_bytes", row.saved.in(B))
                  .set("total_bytes", row.total.in(B))
                  .set("fits", row.fits));
  return list;
}

JsonValue phase_json(const PhaseResult& r) {
  JsonValue item = JsonValue::object();
  item.set("name", r.phase.name);
  item.set("gpu_hours", r.gpu_hours);
  if (r.phase.stated_gpu_hours) {
    item.set("stated", true);
    return item;
  }
  item.set("feasible", r.refusal.empty() && r.fits);
  item.set("batch_sequences", r.phase.batch);
  item.set("seq_len_tokens", r.phase.seq_len);
  item.set("tokens", r.phase.tokens);
  if (!r.refusal.empty()) return item;
  item.set("num_steps", r.num_steps);
  item.set("step_time_s", r.step_time.in(s));
  item.set("tokens_per_s", r.tokens_per_s);
  return item;
}

JsonValue metrics_json(const Scenario& scenario, const RunResult& run) {
  const PhaseResult& main = run.phases.front();
  const double gpus = static_cast<double>(scenario.cluster.num_gpus());
  Bytes peak;
  for (const RankMemory& rank : main.memory) peak = std::max(peak, rank.total());
  JsonValue metrics = JsonValue::object();
  metrics.set("step_time_s", main.step_time.in(s));
  metrics.set("tokens_per_step", static_cast<double>(main.phase.seq_len * main.phase.batch));
  metrics.set("tokens_per_s", main.tokens_per_s);
  metrics.set("tokens_per_s_per_gpu", main.tokens_per_s_per_gpu);
  metrics.set("tokens_per_day", main.tokens_per_s * 86400);
  metrics.set("flops_per_token_causal", main.flops_causal.training().in(FLOP));
  metrics.set("flops_per_token_noncausal", main.flops_non_causal.training().in(FLOP));
  metrics.set("flops_per_s_per_gpu_causal", main.flops_per_s_per_gpu_causal);
  metrics.set("flops_per_s_per_gpu_noncausal", main.flops_per_s_per_gpu_non_causal);
  metrics.set("mfu_causal", main.mfu_causal);
  metrics.set("mfu_noncausal", main.mfu_non_causal);
  metrics.set("bubble_s", main.phase_s[static_cast<std::size_t>(SchedulePhase::bubble)]);
  metrics.set("gpu_hours", run.gpu_hours);
  metrics.set("gpu_hours_first_phase", run.gpu_hours_simulated_main);
  metrics.set("gpu_hours_per_trillion_tokens", gpus * 1e12 / main.tokens_per_s / 3600);
  metrics.set("cost_usd", run.cost_usd);
  metrics.set("cost_first_phase_usd",
              (scenario.cluster.price * (run.gpu_hours_simulated_main * hour)).in(USD));
  metrics.set("memory_peak_bytes", peak.in(B));
  metrics.set("memory_peak_share_of_hbm", peak / scenario.cluster.gpu.hbm);
  metrics.set("fits_in_memory", main.fits ? 1 : 0);
  metrics.set("nodes_per_token", main.step.nodes_per_token);
  metrics.set("ranks_per_token", main.step.ranks_per_token);
  metrics.set("rank_rows_max_over_mean", main.step.max_over_mean_rows);
  const NetworkContention& contention = main.step.contention;
  metrics.set("network_slowdown_dispatch", contention.dispatch);
  metrics.set("network_slowdown_combine", contention.combine);
  metrics.set("network_slowdown_send", contention.send);
  metrics.set("network_slowdown_dense_ring", contention.dense_ring);
  metrics.set("network_slowdown_expert_ring", contention.expert_ring);
  if (run.operations && run.operations->refusal.empty())
    for (const RunNumber& number : kRunNumbers)
      metrics.set(number.key,
                  number.of(*run.operations, run.operations->expected, scenario.cluster.price));
  return metrics;
}

// What the profile decides.
constexpr const char* kWithInterval[] = {"step_time_s",
                                         "tokens_per_s",
                                         "tokens_per_s_per_gpu",
                                         "tokens_per_day",
                                         "flops_per_s_per_gpu_causal",
                                         "flops_per_s_per_gpu_noncausal",
                                         "mfu_causal",
                                         "mfu_noncausal",
                                         "bubble_s",
                                         "gpu_hours",
                                         "gpu_hours_first_phase",
                                         "gpu_hours_per_trillion_tokens",
                                         "cost_usd",
                                         "cost_first_phase_usd"};

JsonValue intervals_json(const Scenario& scenario,
                         const RunResult& run,
                         const Uncertainty& uncertainty) {
  JsonValue object = JsonValue::object();
  for (const std::string key : kWithInterval) {
    const Interval interval = interval_of(run, uncertainty, [&](const RunResult& end) {
      return metrics_json(scenario, end).number_at("/" + key).value();
    });
    object.set(key, JsonValue::array().push(interval.low).push(interval.high));
  }
  add_operations_intervals(scenario, run, uncertainty, object);
  return object;
}

JsonValue sources_json(const Uncertainty& uncertainty) {
  JsonValue list = JsonValue::array();
  for (const SourceEffect& effect : uncertainty.effects)
    list.push(JsonValue::object()
                  .set("source", effect.source)
                  .set("half_width_pct", 100 * effect.half_width)
                  .set("step_time_effect_s",
                       JsonValue::array().push(effect.faster.in(s)).push(effect.slower.in(s)))
                  .set("basis", effect.basis));
  return list;
}

JsonValue critical_path_json(const CriticalPath& path) {
  JsonValue shares = JsonValue::object();
  for (const CriticalPath::Share& share : path.shares)
    shares.set(share.kind, to_seconds(share.time).in(s));
  JsonValue segments = JsonValue::array();
  for (const PathSegment& segment : path.segments)
    segments.push(
        JsonValue::object()
            .set("start_s", to_seconds(segment.start).in(s))
            .set("end_s", to_seconds(segment.end).in(s))
            .set("pp_rank", segment.pp)
            .set("phase",
                 std::string(kSchedulePhaseNames[static_cast<std::size_t>(segment.phase)].title))
            .set("first_microbatch", static_cast<std::int64_t>(segment.first_microbatch))
            .set("last_microbatch", static_cast<std::int64_t>(segment.last_microbatch))
            .set("num_operations", segment.num_operations)
            .set("communication_s", to_seconds(segment.communication).in(s))
            .set("because", segment.reason));
  return JsonValue::object()
      .set("seconds_by_operation", std::move(shares))
      .set("segments", std::move(segments));
}

}  // namespace

JsonValue run_json(const Scenario& scenario,
                   const RunResult& run,
                   const std::optional<Uncertainty>& uncertainty) {
  const PhaseResult& main = run.phases.front();
  JsonValue doc = JsonValue::object();
  doc.set("schema_version", 1);
  doc.set("scenario", JsonValue::object().set("name", scenario.name).set("hash", scenario.hash));
  doc.set("profile", scenario.profile.id);
  doc.set("seed", static_cast<std::int64_t>(scenario.seed));
  doc.set("feasible", run.feasible);

  JsonValue metrics = JsonValue::object();
  if (main.refusal.empty()) metrics = metrics_json(scenario, run);
  doc.set("metrics", std::move(metrics));
  if (uncertainty) {
    doc.set("intervals", intervals_json(scenario, run, *uncertainty));
    doc.set("intervals_from", uncertainty->from_balanced ? "balanced_routing" : "this_run");
    doc.set("uncertainty", sources_json(*uncertainty));
  }
  if (main.refusal.empty()) {
    doc.set("breakdown", flat(kCategoryNames, main.category_s));
    doc.set("phases", flat(kSchedulePhaseNames, main.phase_s));
    doc.set("phases_first_rank", flat(kSchedulePhaseNames, main.first_rank_phase_s));
    JsonValue ladder = JsonValue::array();
    for (const WaterfallLine& line : main.waterfall)
      ladder.push(JsonValue::object()
                      .set("name", line.name)
                      .set("seconds", line.seconds)
                      .set("mfu_causal_after", line.mfu_after));
    doc.set("mfu_waterfall", std::move(ladder));
    if (main.step.critical_path)
      doc.set("critical_path", critical_path_json(*main.step.critical_path));
    doc.set("memory", memory_json(main.memory, scenario.cluster.gpu.hbm));
    doc.set("memory_peak", memory_peak_json(main.memory_over_time));
    doc.set("memory_over_time", memory_over_time_json(main.memory_over_time));
    if (!main.fits) doc.set("memory_advice", memory_advice_json(main.memory_advice));
    JsonValue origins = JsonValue::object();
    for (std::size_t i = 0; i < kNumOrigins; ++i)
      origins.set(kOriginNames[i], main.origin_share[i]);
    doc.set("origins", std::move(origins));
  }
  JsonValue run_phases = JsonValue::array();
  for (const PhaseResult& r : run.phases) run_phases.push(phase_json(r));
  doc.set("run", std::move(run_phases));
  if (run.operations) doc.set("operations", operations_json(scenario, run, uncertainty));
  doc.set("folded", main.step.folded);
  doc.set("num_simulated_ranks", main.step.num_simulated_ranks);
  doc.set("num_events", main.step.num_events);
  JsonValue warnings = JsonValue::array();
  for (const std::string& w : run.warnings) warnings.push(w);
  doc.set("warnings", std::move(warnings));
  return doc;
}

}  // namespace moesim
