// What users saw: the summary, latencies, what became of the requests.
#include <algorithm>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"
#include "reports/serving/serving_sections.hpp"

namespace moesim {
namespace {

std::string sure(const ServingReportInput& input,
                 double (*number)(const SeedRun&),
                 std::string (*format)(double)) {
  const auto of_run = [&](const ServingRun& run) { return number(run.runs.front()); };
  const double value = number(input.run.runs.front());
  if (!input.uncertainty) return format(value);
  return with_interval(value, interval_of(input.run, *input.uncertainty, of_run), format);
}

std::string saturation_text(const Saturation& s) {
  if (s.is_saturated)
    return "SATURATED: " + digits4(s.waiting_first_half) +
           " waiting on average in the first half, " + digits4(s.waiting_second_half) +
           " in the second, " + std::to_string(s.waiting_at_end) + " at the last arrival";
  return "no: " + digits4(s.waiting_first_half) + " waiting on average in the first half, " +
         digits4(s.waiting_second_half) + " in the second";
}

}  // namespace

double gpus_provisioned(const SeedRun& run) {
  double gpu_seconds = 0;
  for (const PoolResult& pool : run.cluster.pools) gpu_seconds += pool.gpu_time.in(s);
  return gpu_seconds / to_seconds(run.cluster.end).in(s);
}

std::string slo_text(const SloCheck& check) {
  switch (check.bound.metric) {
    case SloMetric::ttft:
    case SloMetric::tpot:
    case SloMetric::itl:
    case SloMetric::e2e:
    case SloMetric::queue:
      return check.bound.text + " is " + format_seconds(check.value) +
             (check.by_refusal ? ", and too many requests were refused" : "");
    case SloMetric::goodput:
    case SloMetric::refused: return check.bound.text + " is " + format_percent(check.value);
    default: return check.bound.text + " is " + digits4(check.value) + " per second";
  }
}

std::optional<Section> serving_summary_section(const ServingReportInput& input) {
  const ServingScenario& sc = input.scenario;
  Section section;
  section.title = "Summary";
  Table table{"", {"quantity", "value"}, {}};
  const auto add = [&](const std::string& name, const std::string& value) {
    table.rows.push_back({name, value});
  };
  add("model",
      sc.model.name + ", " + format_count(static_cast<double>(count_parameters(sc.model).total())) +
          " parameters, " + format_count(static_cast<double>(active_parameters(sc.model))) +
          " active");
  for (const PoolSpec& pool : sc.serving.pools)
    add("pool " + pool.name,
        std::string(kPoolRoleNames[static_cast<std::size_t>(pool.role)]) + ", " +
            std::to_string(pool.units) +
            (pool.scaler.kind == ScalerKind::none
                 ? ""
                 : " (" + std::to_string(pool.scaler.min_units) + " to " +
                       std::to_string(pool.scaler.max_units) + ")") +
            " units of " + std::to_string(pool.plan.num_gpus()) + " " + pool.cluster.gpu.name +
            ": tp " + std::to_string(pool.plan.tp) + " x dp " + std::to_string(pool.plan.dp) +
            ", ep " + std::to_string(pool.plan.ep));
  if (!input.run.runs.empty()) {
    const SeedRun& run = input.run.runs.front();
    const ServingMetrics& m = run.metrics;
    add("requests measured",
        std::to_string(m.requests) + ", of which " + std::to_string(m.served()) + " served");
    add("window", format_seconds(m.begin_s) + " to " + format_seconds(m.end_s));
    add("requests per second", digits4(m.request_throughput()));
    add("output tokens per second", digits4(m.output_throughput()));
    add("output tokens per second and GPU",
        digits4(m.output_throughput() / gpus_provisioned(run)) + ", over " +
            digits4(gpus_provisioned(run)) + " GPUs provisioned on average");
    add("time to first token, median",
        sure(
            input, [](const SeedRun& r) { return r.metrics.ttft_s.median; }, format_seconds));
    add("time to first token, 99th percentile",
        sure(
            input,
            [](const SeedRun& r) { return r.metrics.ttft_s.percentile(99); },
            format_seconds));
    add("time per output token, median",
        sure(
            input, [](const SeedRun& r) { return r.metrics.tpot_s.median; }, format_seconds));
    add("time per output token, 99th percentile",
        sure(
            input,
            [](const SeedRun& r) { return r.metrics.tpot_s.percentile(99); },
            format_seconds));
    if (m.has_slo) add("goodput", format_percent(m.goodput_share()) + " of requests");
    if (run.slo)
      add("service level " + sc.measure.slo,
          (run.slo->holds ? "holds; nearest: " : "DOES NOT HOLD: ") +
              slo_text(run.slo->checks[run.slo->binding]));
    add("saturated", saturation_text(m.saturation));
  }
  section.tables.push_back(std::move(table));
  section.paragraphs.push_back(
      input.run.feasible ? "The plan is feasible."
                         : "The plan is infeasible; see the warnings and the memory table.");
  if (input.uncertainty)
    section.notes.push_back(
        "In brackets: 90 % intervals from the errors of the calibration alone.");
  return section;
}

std::optional<Section> serving_latency_section(const ServingReportInput& input) {
  if (input.run.runs.empty()) return std::nullopt;
  const ServingMetrics& m = input.run.runs.front().metrics;
  Section section;
  section.title = "Latency";
  Table table{"", {"quantity", "mean", "p50", "p90", "p95", "p99", "max"}, {}};
  const auto row = [&](const char* name, const Distribution& d, std::string (*format)(double)) {
    table.rows.push_back({name,
                          format(d.mean),
                          format(d.median),
                          format(d.percentile(90)),
                          format(d.percentile(95)),
                          format(d.percentile(99)),
                          format(d.max)});
  };
  row("time to first token (TTFT)", m.ttft_s, format_seconds);
  row("of that, in the queue", m.queue_s, format_seconds);
  row("time per output token (TPOT)", m.tpot_s, format_seconds);
  row("gap between tokens (ITL)", m.itl_s, format_seconds);
  row("whole request (E2E)", m.e2e_s, format_seconds);
  row("tokens per second of a user", m.tokens_per_s_per_user, digits4);
  row("input tokens", m.input_lengths, digits4);
  row("output tokens", m.output_lengths, digits4);
  section.tables.push_back(std::move(table));
  section.charts.push_back(latency_chart(m));
  section.paragraphs.push_back(
      m.ttft_s.is_exact && m.itl_s.is_exact
          ? "Percentiles are exact (numpy's rule)."
          : "Percentiles are right to 0.1 %: there are too many values to keep each.");
  if (m.has_slo) {
    Table goodput{
        "Goodput", {"class", "requests", "served", "within its service level", "share"}, {}};
    for (const ClassMetrics& c : m.classes)
      goodput.rows.push_back({c.name,
                              std::to_string(c.requests),
                              std::to_string(c.served),
                              std::to_string(c.good),
                              format_percent(c.goodput_share())});
    section.tables.push_back(std::move(goodput));
  }
  if (input.run.runs.size() > 1) {
    std::vector<ServingMetrics> all;
    for (const SeedRun& run : input.run.runs) all.push_back(run.metrics);
    Table seeds{"Over " + std::to_string(all.size()) + " seeds",
                {"quantity", "mean", "95 % interval of the mean"},
                {}};
    for (const MetricInterval& i : confidence_intervals(all))
      seeds.rows.push_back({i.name, digits4(i.mean), "+- " + digits4(i.half_width)});
    section.tables.push_back(std::move(seeds));
  }
  return section;
}

std::optional<Section> serving_requests_section(const ServingReportInput& input) {
  if (input.run.runs.empty()) return std::nullopt;
  const SeedRun& run = input.run.runs.front();
  Section section;
  section.title = "Requests";
  Table table{"", {"what", "requests"}, {}};
  const auto add = [&](const char* what, std::int64_t count) {
    table.rows.push_back({what, std::to_string(count)});
  };
  const RequestCounts& counts = run.requests;
  add("read or drawn", counts.read);
  if (counts.outside_window > 0) add("outside the window, left out", counts.outside_window);
  if (counts.too_long > 0) add("too long for the requests' own limit", counts.too_long);
  if (counts.truncated > 0) add("of those truncated", counts.truncated);
  if (counts.zero_dropped > 0) add("without input or output tokens, left out", counts.zero_dropped);
  if (counts.zero_to_one > 0) add("without input or output tokens, given one", counts.zero_to_one);
  add("arrived", run.cluster.taken);
  add("served", run.cluster.served);
  add("rejected: longer than the engine takes", run.cluster.rejected_context);
  add("rejected: more KV pages than a rank has", run.cluster.rejected_memory);
  add("rejected: too many were waiting", run.cluster.rejected_queue);
  add("lost with a unit", run.cluster.lost);
  add("still inside at the end", run.cluster.inside);
  if (run.cluster.requeued > 0) add("started again after a failure", run.cluster.requeued);
  section.tables.push_back(std::move(table));
  return section;
}

}  // namespace moesim
