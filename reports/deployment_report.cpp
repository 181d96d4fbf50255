#include "reports/deployment_report.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "reports/format.hpp"
#include "sim/serving/deployment_axes.hpp"

namespace moesim {
namespace {

struct OutcomeText {
  const char *key, *outcome, *how;
};
constexpr std::array<OutcomeText, kNumDeploymentOutcomes> kOutcomes = {
    {{"refused", "cannot be built", "from the scenario"},
     {"too_large", "do not fit in memory", "from what a GPU holds"},
     {"impossible", "cannot keep the bounds", "from their fastest steps"},
     {"over_limit", "past a limit, or the cluster", "from the units they need at least"},
     {"fails", "fail", "every number of units that may be had was simulated"},
     {"bounded_away", "bounded away", "their fewest units cost more than the worst of the best"},
     {"holds", "hold", "simulated, from their fewest units on"}}};

std::string deployment_name(const DeploymentSearch& search, const DeploymentPoint& point) {
  if (point.choice.empty()) return "the scenario's own";
  std::string name;
  for (std::size_t a = 0; a < point.choice.size(); ++a)
    name += (a == 0 ? "" : ", ") + search.axes[a].alternatives[point.choice[a]].name;
  return name;
}

std::string units_name(const DeploymentPoint& point, const DeploymentRun& run) {
  std::string text;
  for (std::size_t p = 0; p < run.units.size(); ++p)
    text += (p == 0 ? "" : " + ") + std::to_string(run.units[p]) + " " + point.pools[p].name;
  return text;
}

std::size_t count_of(const DeploymentSearch& search, DeploymentOutcome outcome) {
  return static_cast<std::size_t>(std::count_if(
      search.points.begin() + 1, search.points.end(), [&](const DeploymentPoint& point) {
        return point.outcome == outcome;
      }));
}

// Two choices that come to the same run, to the last digit: what differs does not matter here.
bool is_same_run(const DeploymentRun& a, const DeploymentRun& b) {
  return a.units == b.units && a.gpus == b.gpus && a.usd_per_hour == b.usd_per_hour &&
         a.p99_ttft_s == b.p99_ttft_s && a.p99_tpot_s == b.p99_tpot_s &&
         a.found.margin == b.found.margin;
}

std::vector<std::string> run_cells(const DeploymentPoint& point, const DeploymentRun& run) {
  return {units_name(point, run),
          std::to_string(run.gpus),
          format_usd(run.usd_per_hour),
          format_usd(run.usd_per_mtok),
          digits4(run.output_tokens_per_s_per_gpu),
          format_seconds(run.p99_ttft_s),
          format_seconds(run.p99_tpot_s),
          format_percent(run.found.margin) + " of " + run.found.binding};
}

const std::vector<std::string> kRunColumns = {"units",
                                              "GPUs",
                                              "a hour",
                                              "a million output tokens",
                                              "output tokens/s/GPU",
                                              "p99 TTFT",
                                              "p99 TPOT",
                                              "room left"};

std::vector<std::string> with_columns(std::vector<std::string> first,
                                      const std::vector<std::string>& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

// The run that comes closest to holding, of all.
const DeploymentPoint* closest_point(const DeploymentSearch& search) {
  const DeploymentPoint* closest = nullptr;
  const auto margin = [](const DeploymentPoint& point) {
    double best = -1e300;
    for (const DeploymentRun& run : point.runs) best = std::max(best, run.found.margin);
    return best;
  };
  for (const DeploymentPoint& point : search.points)
    if (!point.runs.empty() && (closest == nullptr || margin(point) > margin(*closest)))
      closest = &point;
  return closest;
}
const DeploymentRun& closest_run(const DeploymentPoint& point) {
  return *std::max_element(point.runs.begin(), point.runs.end(), [](const auto& a, const auto& b) {
    return a.found.margin < b.found.margin;
  });
}

Section best_section(const DeploymentRequest& request, const DeploymentSearch& search) {
  Section section;
  section.title = "Cheapest deployments";
  Table table{"", with_columns({"rank", "deployment"}, kRunColumns), {}};
  std::size_t rank = 0, same = 0;
  const DeploymentRun* shown = nullptr;
  for (const std::size_t i : search.ranking) {
    const DeploymentPoint& point = search.points[i];
    const DeploymentRun& run = point.runs.back();
    if (shown != nullptr && is_same_run(*shown, run)) {
      ++same;
      continue;
    }
    if (++rank > request.num_best) break;
    shown = &run;
    table.rows.push_back(with_columns({std::to_string(rank), deployment_name(search, point)},
                                      run_cells(point, run)));
  }
  const DeploymentPoint& own = search.points.front();
  if (!own.runs.empty() && own.outcome != DeploymentOutcome::holds)
    table.rows.push_back(with_columns({"does not hold", deployment_name(search, own)},
                                      run_cells(own, own.runs.back())));
  section.tables.push_back(std::move(table));
  if (same > 0)
    section.notes.push_back(std::to_string(same) +
                            " more deployments come to exactly the same runs as the one listed "
                            "first: what they set otherwise does not matter here.");
  if (search.assumes_transfer_latency)
    section.notes.push_back(
        "The scenario does not say how long handing over a request's KV cache "
        "waits before it travels: " +
        std::string(kAssumedTransferLatency) +
        " is assumed for prefill and decode apart; --set "
        "/serving/pools and /serving/transfer_latency, or --vary it.");
  if (!own.refusal.empty()) section.notes.push_back("The scenario's own: " + own.refusal + ".");
  if (!search.complete)
    section.notes.push_back("The budget of " + std::to_string(request.budget) +
                            " runs was spent before the end: there may be cheaper ones.");
  if (!search.ranking.empty()) return section;
  std::string text = "No deployment holds the bounds within the limits.";
  if (const DeploymentPoint* closest = closest_point(search)) {
    const DeploymentRun& run = closest_run(*closest);
    text += " The closest is " + deployment_name(search, *closest) + " with " +
            units_name(*closest, run) + ": it misses " + run.found.binding + " by " +
            format_percent(-run.found.margin) + " (p99 TTFT " + format_seconds(run.p99_ttft_s) +
            ", p99 TPOT " + format_seconds(run.p99_tpot_s) + ").";
  }
  section.notes.push_back(text);
  return section;
}

std::optional<Section> front_section(const DeploymentSearch& search) {
  if (search.ranking.size() < 2) return std::nullopt;
  Section section;
  section.title = "Dollars against latency";
  section.paragraphs.push_back(
      "Deployments that hold and that no other one simulated beats in all of dollars a million "
      "output tokens, p99 TPOT and p99 TTFT. Each has the fewest units with which it holds.");
  XyChart chart;
  chart.x = {"p99 TPOT", "ms", false};
  chart.y = {"a million output tokens", "USD", false};
  XyChart::Series all{"holds", XyChart::Drawn::points, {}, {}},
      front{"not beaten", XyChart::Drawn::points, {}, {}};
  const auto add = [&](XyChart::Series& series, std::size_t i) {
    const DeploymentRun& run = search.points[i].runs.back();
    series.points.emplace_back(run.p99_tpot_s * 1e3, run.usd_per_mtok);
    series.point_names.push_back(deployment_name(search, search.points[i]));
  };
  Table table{"", with_columns({"deployment"}, kRunColumns), {}};
  const DeploymentRun* shown = nullptr;
  for (const std::size_t i : search.ranking) add(all, i);
  for (const std::size_t i : search.front) {
    const DeploymentPoint& point = search.points[i];
    if (shown != nullptr && is_same_run(*shown, point.runs.back())) continue;
    shown = &point.runs.back();
    add(front, i);
    table.rows.push_back(with_columns({deployment_name(search, point)}, run_cells(point, *shown)));
  }
  const std::size_t num_front = front.points.size();
  chart.series = {std::move(all), std::move(front)};
  section.tables.push_back(std::move(table));
  section.charts.push_back({"Dollars against time per output token",
                            std::to_string(num_front) + " different runs are not beaten",
                            std::move(chart)});
  return section;
}

Section counts_section(const DeploymentSearch& search) {
  Section section;
  section.title = "What was looked at";
  Table table{"", {"deployments", "outcome", "how that is known"}, {}};
  table.rows.push_back({std::to_string(search.points.size() - 1), "combinations", ""});
  for (std::size_t k = 0; k < kNumDeploymentOutcomes; ++k)
    table.rows.push_back({std::to_string(count_of(search, static_cast<DeploymentOutcome>(k))),
                          kOutcomes[k].outcome,
                          kOutcomes[k].how});
  section.tables.push_back(std::move(table));
  section.paragraphs.push_back(std::to_string(search.num_runs) + " runs of " +
                               format_count(static_cast<double>(search.num_requests)) +
                               " requests in all were simulated.");
  return section;
}

// A reason without its numbers, so that alike ones are counted together.
std::string kind_of_reason(const std::string& reason) {
  std::string kind;
  for (const char c : reason)
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) kind += c;
  return kind;
}

Section refused_section(const DeploymentSearch& search) {
  Section section;
  section.title = "Why others cannot be";
  struct Reason {
    std::size_t count = 0;
    std::string example, deployment;
  };
  std::map<std::string, Reason> reasons;
  for (const DeploymentPoint& point : search.points) {
    if (point.refusal.empty()) continue;
    Reason& reason = reasons[kind_of_reason(point.refusal)];
    if (reason.count++ == 0) reason = {1, point.refusal, deployment_name(search, point)};
  }
  Table table{"", {"deployments", "reason, as for the first of them", "which is"}, {}};
  for (const auto& [kind, reason] : reasons)
    table.rows.push_back({std::to_string(reason.count), reason.example, reason.deployment});
  section.tables.push_back(std::move(table));
  return section;
}

std::string bounds_text(const std::vector<SloBound>& bounds) {
  std::string text;
  for (const SloBound& bound : bounds) text += (text.empty() ? "" : ", ") + bound.text;
  return text;
}

JsonValue deployment_run_json(const DeploymentPoint& point, const DeploymentRun& run) {
  JsonValue units = JsonValue::object();
  for (std::size_t p = 0; p < run.units.size(); ++p) units.set(point.pools[p].name, run.units[p]);
  return JsonValue::object()
      .set("units", std::move(units))
      .set("gpus", run.gpus)
      .set("cost_usd_per_hour", run.usd_per_hour)
      .set("cost_usd_per_million_output_tokens", run.usd_per_mtok)
      .set("output_tokens_per_s_per_gpu", run.output_tokens_per_s_per_gpu)
      .set("p99_ttft_s", run.p99_ttft_s)
      .set("p99_tpot_s", run.p99_tpot_s)
      .set("holds", run.found.holds)
      .set("margin", run.found.margin)
      .set("binding", run.found.binding);
}

JsonValue named_run_json(const DeploymentSearch& search,
                         const DeploymentPoint& point,
                         const DeploymentRun& run) {
  return deployment_run_json(point, run).set("deployment", deployment_name(search, point));
}

JsonValue point_json(const DeploymentSearch& search, const DeploymentPoint& point) {
  JsonValue item = JsonValue::object();
  item.set("deployment", deployment_name(search, point));
  item.set("outcome", kOutcomes[static_cast<std::size_t>(point.outcome)].key);
  if (!point.refusal.empty()) item.set("refused", point.refusal);
  if (point.least_usd_per_hour > 0) item.set("least_cost_usd_per_hour", point.least_usd_per_hour);
  JsonValue runs = JsonValue::array();
  for (const DeploymentRun& run : point.runs) runs.push(deployment_run_json(point, run));
  item.set("runs", std::move(runs));
  return item;
}

}  // namespace

Report make_deployment_report(const ServingScenario& scenario,
                              const DeploymentRequest& request,
                              const DeploymentSearch& search) {
  Report report;
  report.title = scenario.name + ": deployment search";
  report.facts = {{"scenario", scenario.name + " (" + scenario.hash + ")"},
                  {"model", scenario.model.name},
                  {"profile", scenario.profile.id},
                  {"service level", bounds_text(request.bounds)},
                  {"deployments", std::to_string(search.points.size() - 1)}};
  report.sections = {best_section(request, search)};
  if (auto front = front_section(search)) report.sections.push_back(std::move(*front));
  report.sections.push_back(counts_section(search));
  report.sections.push_back(refused_section(search));
  return report;
}

JsonValue deployment_json(const ServingScenario& scenario,
                          const DeploymentRequest& request,
                          const DeploymentSearch& search) {
  JsonValue counts = JsonValue::object(), best = JsonValue::array(), front = JsonValue::array(),
            points = JsonValue::array();
  for (std::size_t k = 0; k < kNumDeploymentOutcomes; ++k)
    counts.set(kOutcomes[k].key,
               static_cast<std::int64_t>(count_of(search, static_cast<DeploymentOutcome>(k))));
  for (const std::size_t i : search.ranking)
    best.push(named_run_json(search, search.points[i], search.points[i].runs.back()));
  for (const std::size_t i : search.front)
    front.push(named_run_json(search, search.points[i], search.points[i].runs.back()));
  for (const DeploymentPoint& point : search.points) points.push(point_json(search, point));
  JsonValue document =
      JsonValue::object()
          .set("schema_version", 1)
          .set("scenario",
               JsonValue::object().set("name", scenario.name).set("hash", scenario.hash))
          .set("bounds", bounds_text(request.bounds))
          .set("num_deployments", static_cast<std::int64_t>(search.points.size() - 1))
          .set("counts", std::move(counts))
          .set("num_runs", search.num_runs)
          .set("num_requests", search.num_requests)
          .set("complete", search.complete)
          .set("best", std::move(best))
          .set("front", std::move(front));
  if (const DeploymentPoint* closest = closest_point(search);
      closest != nullptr && search.ranking.empty())
    document.set("closest", named_run_json(search, *closest, closest_run(*closest)));
  return document.set("points", std::move(points));
}

}  // namespace moesim
