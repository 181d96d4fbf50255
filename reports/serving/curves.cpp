// Sections made of charts: latencies as distributions, latency against load, throughput against the
// speed of one user, and what happened over time.
#include <algorithm>
#include <cmath>

#include "reports/format.hpp"
#include "reports/serving/serving_sections.hpp"

namespace moesim {
namespace {

XyChart::Series cdf_series(const std::string& name, const Distribution& d) {
  XyChart::Series series{name, XyChart::Drawn::line, {}, {}};
  for (std::size_t p = 0; p < d.curve.size(); ++p)
    series.points.emplace_back(d.curve[p], static_cast<double>(p));
  return series;
}

void add_load_series(const LoadCurve& curve,
                     const std::string& name,
                     double LoadPoint::*latency,
                     XyChart& chart) {
  XyChart::Series series{name, XyChart::Drawn::line, {}, {}};
  for (const LoadPoint& point : curve.points) {
    // None was served, or there is no rate: a logarithm has no place for it.
    if (point.*latency <= 0 || point.requests_per_s <= 0) continue;
    series.points.emplace_back(point.requests_per_s, point.*latency);
    series.point_names.push_back(digits4(point.speed) + " x the load" +
                                 (point.holds ? "" : ", does not hold"));
  }
  chart.series.push_back(std::move(series));
}

std::string knee_text(const LoadCurve& curve) {
  if (curve.knee) {
    const LoadPoint &holds = curve.points[curve.knee->holds],
                    &fails = curve.points[curve.knee->fails];
    return "The knee is between " + digits4(holds.requests_per_s) + " and " +
           digits4(fails.requests_per_s) + " requests/s (" + digits4(holds.speed) + " to " +
           digits4(fails.speed) + " times the load of the scenario): there " +
           (fails.is_saturated ? std::string("the queue grows")
                               : "the bound " + fails.binding + " no longer holds") +
           ".";
  }
  return curve.points.front().holds
             ? "Every load that was looked at holds: the knee is beyond " +
                   digits4(curve.points.back().requests_per_s) + " requests/s."
             : "No load that was looked at holds.";
}

Chart load_chart(const LoadCurve& curve,
                 const std::string& quantity,
                 double LoadPoint::*median,
                 double LoadPoint::*p99) {
  XyChart chart;
  chart.x = {"offered load", "requests/s", true};
  chart.y = {quantity, "s", true};
  add_load_series(curve, "median", median, chart);
  add_load_series(curve, "99th percentile", p99, chart);
  if (curve.knee) {
    chart.marks.push_back(
        {"largest load that holds", curve.points[curve.knee->holds].requests_per_s, {}});
    chart.marks.push_back(
        {"first that does not", curve.points[curve.knee->fails].requests_per_s, {}});
  }
  return {quantity + " against load", knee_text(curve), std::move(chart)};
}

using PoolValue = double (*)(const PoolPoint&);

Chart pools_chart(const ServingReportInput& input,
                  const std::string& title,
                  const ChartAxis& axis,
                  const std::vector<std::pair<std::string, PoolValue>>& values) {
  const ServingResult& result = input.run.runs.front().cluster;
  XyChart chart;
  chart.x = {"time since the start", "s", false};
  chart.y = axis;
  double most = 0, most_at = 0;
  for (std::size_t p = 0; p < result.pools.size(); ++p)
    for (const auto& [name, value] : values) {
      XyChart::Series series{
          input.scenario.serving.pools[p].name + ", " + name, XyChart::Drawn::steps, {}, {}};
      for (const SeriesPoint& point : result.series) {
        const double start = to_seconds(point.start).in(s), y = value(point.pools[p]);
        series.points.emplace_back(start, y);
        if (y > most) most = y, most_at = start;
      }
      chart.series.push_back(std::move(series));
    }
  return {title,
          "At most " + digits4(most) + (axis.unit.empty() ? "" : " " + axis.unit) + ", " +
              format_seconds(most_at) + " after the start.",
          std::move(chart)};
}

Chart arrivals_chart(const ServingResult& result) {
  XyChart chart;
  chart.x = {"time since the start", "s", false};
  chart.y = {"requests", "requests/s", false};
  XyChart::Series arrived{"arrived", XyChart::Drawn::steps, {}, {}},
      served{"served", XyChart::Drawn::steps, {}, {}},
      refused{"refused or lost", XyChart::Drawn::steps, {}, {}};
  double most = 0;
  for (const SeriesPoint& point : result.series) {
    const double start = to_seconds(point.start).in(s), length = to_seconds(point.length).in(s);
    const auto rate = [&](std::int64_t count) { return static_cast<double>(count) / length; };
    arrived.points.emplace_back(start, rate(point.arrivals));
    served.points.emplace_back(start, rate(point.served));
    refused.points.emplace_back(start, rate(point.refused));
    most = std::max(most, rate(point.arrivals));
  }
  chart.series = {std::move(arrived), std::move(served), std::move(refused)};
  return {
      "Requests over time", "At most " + digits4(most) + " requests/s arrive.", std::move(chart)};
}

}  // namespace

Chart latency_chart(const ServingMetrics& m) {
  XyChart chart;
  chart.x = {"latency", "s", true};
  chart.y = {"share of requests", "%", false};
  chart.series = {cdf_series("time to first token (TTFT)", m.ttft_s),
                  cdf_series("time per output token (TPOT)", m.tpot_s),
                  cdf_series("whole request (E2E)", m.e2e_s)};
  // A logarithm has no place for 0.
  for (XyChart::Series& series : chart.series)
    std::erase_if(series.points, [](const auto& point) { return point.first <= 0; });
  return {"How many requests are faster than",
          "Half of the requests have their first token within " + format_seconds(m.ttft_s.median) +
              " and all of their answer within " + format_seconds(m.e2e_s.median) + ".",
          std::move(chart)};
}

std::optional<Section> serving_load_section(const ServingReportInput& input) {
  if (!input.load && input.no_load_curve.empty()) return std::nullopt;
  Section section;
  section.title = "Latency against load";
  if (!input.load) {
    section.paragraphs.push_back("Not looked at: " + input.no_load_curve + ".");
    return section;
  }
  const LoadCurve& curve = *input.load;
  section.paragraphs.push_back(
      knee_text(curve) +
      " The same requests, coming faster or slower; a load holds when the queue does not grow and "
      "the service level, where one is stated, holds.");
  section.charts = {
      load_chart(curve, "time to first token", &LoadPoint::ttft_p50_s, &LoadPoint::ttft_p99_s),
      load_chart(curve, "time per output token", &LoadPoint::tpot_p50_s, &LoadPoint::tpot_p99_s)};
  Table table{"",
              {"times the load",
               "requests/s",
               "output tokens/s",
               "TTFT p50",
               "TTFT p99",
               "TPOT p50",
               "TPOT p99",
               "holds",
               "nearest bound"},
              {}};
  for (const LoadPoint& point : curve.points)
    table.rows.push_back({digits4(point.speed),
                          digits4(point.requests_per_s),
                          digits4(point.output_tokens_per_s),
                          format_seconds(point.ttft_p50_s),
                          format_seconds(point.ttft_p99_s),
                          format_seconds(point.tpot_p50_s),
                          format_seconds(point.tpot_p99_s),
                          point.holds ? "yes" : "no",
                          point.binding});
  section.tables.push_back(std::move(table));
  return section;
}

std::optional<Section> serving_speed_section(const ServingReportInput& input) {
  XyChart chart;
  chart.x = {"output tokens per second of a user", "tokens/s", false};
  chart.y = {"output tokens per second of a GPU", "tokens/s", false};
  const auto& pools = input.scenario.serving.pools;
  for (std::size_t i = 0; i < pools.size() && !input.run.runs.empty(); ++i) {
    if (pools[i].role == PoolRole::prefill) continue;
    const ServingMetrics& m = input.run.runs.front().metrics;
    const auto context = std::llround(m.input_lengths.mean + m.output_lengths.mean / 2);
    XyChart::Series series{"pool " + pools[i].name + " decoding alone, " + std::to_string(context) +
                               " cached tokens a request",
                           XyChart::Drawn::line,
                           {},
                           {}};
    std::vector<SpeedPoint> curve = speed_curve(pools[i], input.run.pools[i].model, context);
    std::reverse(curve.begin(), curve.end());  // by x
    for (const SpeedPoint& point : curve) {
      series.points.emplace_back(point.tokens_per_s_per_user, point.tokens_per_s_per_gpu);
      series.point_names.push_back(std::to_string(point.requests) + " requests a rank");
    }
    const PoolResult& pool = input.run.runs.front().cluster.pools[i];
    const double rate = static_cast<double>(pool.total.output_tokens) / pool.gpu_time.in(s);
    if (!series.points.empty()) chart.series.push_back(std::move(series));
    chart.series.push_back({"pool " + pools[i].name + " in this run (median user)",
                            XyChart::Drawn::points,
                            {{m.tokens_per_s_per_user.median, rate}},
                            {"as simulated"}});
  }
  XyChart::Series stated{"stated steps", XyChart::Drawn::points, {}, {}};
  for (const StepPointResult& step : input.run.steps) {
    if (step.point.requests == 0) continue;
    stated.points.emplace_back(1 / step.tpot.in(s), step.output_tokens_per_s_per_gpu);
    stated.point_names.push_back(step.point.name);
  }
  if (!stated.points.empty()) chart.series.push_back(std::move(stated));
  if (chart.series.empty()) return std::nullopt;
  Section section;
  section.title = "Throughput against speed";
  section.paragraphs.push_back(
      "What a GPU gives against what one user sees, over the size of the batch. The curve is of "
      "decoding alone, every rank alike; a run that also computes prompts, or whose batches are "
      "not full all the time, is below it.");
  section.charts.push_back(
      {"Throughput of a GPU against the speed of a user",
       "Larger batches give more tokens a GPU and fewer a user; the points are this scenario.",
       std::move(chart)});
  return section;
}

std::optional<Section> serving_series_section(const ServingReportInput& input) {
  if (input.run.runs.empty() || input.run.runs.front().cluster.series.empty()) return std::nullopt;
  Section section;
  section.title = "Over time";
  section.only_in_files = true;
  section.charts = {
      arrivals_chart(input.run.runs.front().cluster),
      pools_chart(input,
                  "Requests inside",
                  {"requests", "", false},
                  {{"running", [](const PoolPoint& p) { return p.running; }},
                   {"waiting", [](const PoolPoint& p) { return p.waiting; }}}),
      pools_chart(input,
                  "KV pages in use",
                  {"share of the pages of units that are up", "%", false},
                  {{"pages", [](const PoolPoint& p) { return 100 * p.kv_share; }}}),
      pools_chart(input,
                  "Units",
                  {"units", "", false},
                  {{"up", [](const PoolPoint& p) { return p.units_up; }},
                   {"inside a step", [](const PoolPoint& p) { return p.busy_units; }}})};
  return section;
}

}  // namespace moesim
