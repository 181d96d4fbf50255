#include "reports/sweep/sweep_report.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "model/json_message.hpp"
#include "reports/format.hpp"
#include "reports/tables.hpp"

namespace moesim {
namespace {

// What is shown where nothing was chosen; those that the points have.
constexpr const char* kUsualMetrics[] = {"step_time_s",
                                         "mfu_causal",
                                         "tokens_per_s_per_gpu",
                                         "gpu_hours",
                                         "cost_usd",
                                         "memory_peak_bytes",
                                         "output_tokens_per_s_per_gpu",
                                         "ttft_s/p99",
                                         "tpot_s/p99",
                                         "goodput_share"};
const SweepGoal kUsualGoals[] = {{"step_time_s", false}, {"output_tokens_per_s_per_gpu", true}};

std::vector<std::string> known_metrics(const SweepFindings& findings) {
  std::vector<std::string> known;
  std::set<std::string> seen;
  const std::vector<std::string>* last = nullptr;
  for (const SweepRow& row : findings.rows) {
    if (row.names.get() == last) continue;
    last = row.names.get();
    for (const std::string& name : *last)
      if (seen.insert(name).second) known.push_back(name);
  }
  return known;
}

void check_known(const std::string& metric,
                 const std::vector<std::string>& known,
                 const std::string& option) {
  if (std::find(known.begin(), known.end(), metric) != known.end()) return;
  constexpr std::size_t kTypingErrors = 3;
  const std::string* near = nearest_word(metric, known, kTypingErrors);
  throw InputError(option,
                   "no metric is named " + in_quotes(metric) +
                       (near != nullptr ? "; did you mean " + in_quotes(*near) + "?"
                                        : "; known: " + joined(known)));
}

void check_chosen(const SweepFindings& findings, const std::vector<std::string>& known) {
  for (const std::string& metric : findings.metrics) check_known(metric, known, "--metric");
  for (const SweepGoal& goal : findings.goals) check_known(goal.metric, known, "--pareto");
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// By the unit that a name ends in; percentiles have it before the slash.
std::string format_metric(const std::string& name, double value) {
  const std::string unit = name.substr(0, name.find('/'));
  if (ends_with(unit, "_bytes")) return format_bytes(value * B);
  if (ends_with(unit, "_usd")) return format_usd(value);
  if (ends_with(unit, "_s") && unit.find("_per_s") == std::string::npos)
    return format_seconds(value);
  if (unit.rfind("mfu_", 0) == 0 || ends_with(unit, "_share")) return format_percent(value);
  return digits4(value);
}

// A goal's value, so that less is better.
double loss(const SweepRow& row, const SweepGoal& goal) {
  const double value = *row.metric(goal.metric);
  return goal.largest ? -value : value;
}

bool has_goals(const SweepRow& row, const std::vector<SweepGoal>& goals) {
  return std::all_of(goals.begin(), goals.end(), [&](const SweepGoal& goal) {
    return row.metric(goal.metric) != nullptr;
  });
}

std::string goal_words(const SweepGoal& goal) {
  return (goal.largest ? "largest " : "smallest ") + goal.metric;
}

// Last steps of the pointers where they differ, else the whole.
std::vector<std::string> field_names(const std::vector<std::string>& fields) {
  std::vector<std::string> names;
  for (const std::string& field : fields) {
    const std::string last = field.substr(field.rfind('/') + 1);
    const auto same = std::count_if(fields.begin(), fields.end(), [&](const std::string& other) {
      return other.substr(other.rfind('/') + 1) == last;
    });
    names.push_back(same == 1 ? last : field);
  }
  return names;
}

Table points_table(const SweepFindings& findings, const std::vector<const SweepRow*>& rows) {
  Table table{"", {"point"}, {}};
  for (const std::string& name : field_names(findings.fields)) table.columns.push_back(name);
  for (const std::string& metric : findings.metrics) table.columns.push_back(metric);
  for (const SweepRow* row : rows) {
    std::vector<std::string> cells = {std::to_string(row->point)};
    cells.insert(cells.end(), row->set.begin(), row->set.end());
    for (const std::string& metric : findings.metrics) {
      const double* value = row->metric(metric);
      cells.push_back(value == nullptr ? "" : format_metric(metric, *value));
    }
    table.rows.push_back(std::move(cells));
  }
  return table;
}

Section best_section(const SweepFindings& findings, std::size_t num_best) {
  Section section;
  section.title = "Best points";
  std::vector<const SweepRow*> best = ranked(findings);
  if (best.empty()) {
    section.paragraphs.push_back("No point can be run and fits.");
    return section;
  }
  const std::size_t num_ranked = best.size();
  best.resize(std::min(best.size(), num_best));
  section.paragraphs.push_back("By the " + goal_words(findings.goals.front()) + "; " +
                               std::to_string(best.size()) + " of " + std::to_string(num_ranked) +
                               " that can be run.");
  section.tables.push_back(points_table(findings, best));
  return section;
}

Chart pareto_chart(const SweepFindings& findings, const std::vector<const SweepRow*>& front) {
  const SweepGoal &across = findings.goals[0], &up = findings.goals[1];
  XyChart chart;
  chart.x.name = across.metric;
  chart.y.name = up.metric;
  XyChart::Series all{"points", XyChart::Drawn::points, {}, {}}, best = all;
  best.name = "beaten by none";
  const auto add = [&](const SweepRow& row, XyChart::Series& series) {
    series.points.emplace_back(*row.metric(across.metric), *row.metric(up.metric));
    series.point_names.push_back("point " + std::to_string(row.point));
  };
  constexpr std::size_t kMostDrawn = 2000;  // more are a cloud, and a slow page
  const std::vector<const SweepRow*> rows = ranked(findings);
  const std::size_t every = rows.size() / kMostDrawn + 1;
  for (std::size_t i = 0; i < rows.size(); i += every) add(*rows[i], all);
  for (const SweepRow* row : front) add(*row, best);
  chart.series = {std::move(all), std::move(best)};
  return {across.metric + " against " + up.metric,
          std::to_string(front.size()) + " points are beaten by none in every goal.",
          std::move(chart)};
}

Section pareto_section(const SweepFindings& findings) {
  Section section;
  section.title = "Pareto set";
  const std::vector<const SweepRow*> front = pareto_set(findings);
  std::string goals;
  for (const SweepGoal& goal : findings.goals)
    goals += (goals.empty() ? "" : ", ") + goal_words(goal);
  section.paragraphs.push_back("Points that no other equals or beats in all of: " + goals + ".");
  section.tables.push_back(points_table(findings, front));
  if (!front.empty()) section.charts.push_back(pareto_chart(findings, front));
  return section;
}

// A reason without its numbers, so that alike ones are counted together.
std::string without_numbers(const std::string& reason) {
  std::string kind;
  for (const char c : reason)
    if (std::isdigit(static_cast<unsigned char>(c)) == 0)
      kind += c;
    else if (kind.empty() || kind.back() != '#')
      kind += '#';
  return kind;
}

Section refused_section(const SweepFindings& findings) {
  Section section;
  section.title = "Points that cannot be run";
  std::map<std::string, std::vector<const SweepRow*>> kinds;
  for (const SweepRow& row : findings.rows)
    if (!row.feasible) kinds[without_numbers(row.reason)].push_back(&row);
  std::vector<std::vector<const SweepRow*>> groups;
  for (auto& [kind, rows] : kinds) groups.push_back(std::move(rows));
  std::stable_sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) {
    return a.size() > b.size();
  });
  constexpr std::size_t kMostKinds = 20;
  Table table{"", {"points", "reason, as for the first of them", "which is point"}, {}};
  for (std::size_t i = 0; i < std::min(groups.size(), kMostKinds); ++i)
    table.rows.push_back({std::to_string(groups[i].size()),
                          groups[i].front()->reason,
                          std::to_string(groups[i].front()->point)});
  section.tables.push_back(std::move(table));
  if (groups.size() > kMostKinds)
    section.notes.push_back(std::to_string(groups.size() - kMostKinds) +
                            " more reasons are in the result file.");
  return section;
}

std::size_t num_feasible(const SweepFindings& findings) {
  return static_cast<std::size_t>(std::count_if(findings.rows.begin(),
                                                findings.rows.end(),
                                                [](const SweepRow& row) { return row.feasible; }));
}

JsonValue rows_json(const SweepFindings& findings, const std::vector<const SweepRow*>& rows) {
  JsonValue list = JsonValue::array();
  for (const SweepRow* row : rows) {
    JsonValue set = JsonValue::object(), metrics = JsonValue::object();
    for (std::size_t i = 0; i < findings.fields.size(); ++i)
      set.set(findings.fields[i], row->set[i]);
    for (const std::string& metric : findings.metrics)
      if (const double* value = row->metric(metric)) metrics.set(metric, *value);
    list.push(JsonValue::object()
                  .set("point", static_cast<std::int64_t>(row->point))
                  .set("id", row->id)
                  .set("set", std::move(set))
                  .set("metrics", std::move(metrics)));
  }
  return list;
}

}  // namespace

std::vector<SweepGoal> parse_sweep_goals(const std::string& text) {
  std::vector<SweepGoal> goals;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const bool least = part.rfind("min:", 0) == 0, most = part.rfind("max:", 0) == 0;
    if ((!least && !most) || part.size() == 4)
      throw InputError("--pareto " + one_line(text),
                       "expected min: or max: before every metric, such as "
                       "min:cost_usd,max:mfu_causal");
    goals.push_back({part.substr(4), most});
  }
  return goals;
}

void check_metrics(SweepFindings& findings) {
  const std::vector<std::string> known = known_metrics(findings);
  if (known.empty()) return;  // no point ran: nothing to choose from
  check_chosen(findings, known);
  const auto is_known = [&](const std::string& metric) {
    return std::find(known.begin(), known.end(), metric) != known.end();
  };
  if (findings.metrics.empty()) {
    for (const char* metric : kUsualMetrics)
      if (is_known(metric)) findings.metrics.emplace_back(metric);
    for (const SweepGoal& goal : findings.goals)
      if (std::find(findings.metrics.begin(), findings.metrics.end(), goal.metric) ==
          findings.metrics.end())
        findings.metrics.push_back(goal.metric);
  }
  if (findings.goals.empty())
    for (const SweepGoal& goal : kUsualGoals)
      if (is_known(goal.metric) && findings.goals.empty()) findings.goals.push_back(goal);
  if (findings.goals.empty()) findings.goals.push_back({findings.metrics.front(), false});
}

void check_metrics(const SweepFindings& findings, const SweepRow& row) {
  if (row.feasible && !row.names->empty()) check_chosen(findings, *row.names);
}

std::vector<const SweepRow*> ranked(const SweepFindings& findings) {
  std::vector<const SweepRow*> rows;
  for (const SweepRow& row : findings.rows)
    if (row.feasible && !findings.goals.empty() && has_goals(row, findings.goals))
      rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(), [&](const SweepRow* a, const SweepRow* b) {
    return loss(*a, findings.goals.front()) < loss(*b, findings.goals.front());
  });
  return rows;
}

std::vector<const SweepRow*> pareto_set(const SweepFindings& findings) {
  const std::vector<SweepGoal>& goals = findings.goals;
  std::vector<const SweepRow*> rows = ranked(findings);
  // By every goal in turn, so that whoever beats a row comes before it.
  std::stable_sort(rows.begin(), rows.end(), [&](const SweepRow* a, const SweepRow* b) {
    for (const SweepGoal& goal : goals)
      if (loss(*a, goal) != loss(*b, goal)) return loss(*a, goal) < loss(*b, goal);
    return false;
  });
  std::vector<const SweepRow*> front;
  for (const SweepRow* row : rows) {
    const bool beaten = std::any_of(front.begin(), front.end(), [&](const SweepRow* other) {
      bool better = false;
      for (const SweepGoal& goal : goals) {
        if (loss(*other, goal) > loss(*row, goal)) return false;
        better = better || loss(*other, goal) < loss(*row, goal);
      }
      return better;
    });
    if (!beaten) front.push_back(row);
  }
  return front;
}

Report make_sweep_report(const SweepFindings& findings, std::size_t num_best) {
  Report report;
  report.title = findings.name + ": sweep";
  const std::size_t feasible = num_feasible(findings);
  report.facts = {
      {"scenario", findings.name},
      {"points",
       std::to_string(findings.rows.size()) + (findings.rows.size() == findings.num_points
                                                   ? ""
                                                   : " of " + std::to_string(findings.num_points))},
      {"can be run", std::to_string(feasible)}};
  report.sections.push_back(best_section(findings, num_best));
  if (findings.goals.size() > 1) report.sections.push_back(pareto_section(findings));
  if (feasible < findings.rows.size()) report.sections.push_back(refused_section(findings));
  return report;
}

JsonValue sweep_json(const SweepFindings& findings, std::size_t num_best) {
  std::vector<const SweepRow*> best = ranked(findings);
  best.resize(std::min(best.size(), num_best));
  JsonValue document = JsonValue::object();
  document.set("schema_version", 1)
      .set("scenario", findings.name)
      .set("num_points", static_cast<std::int64_t>(findings.num_points))
      .set("num_done", static_cast<std::int64_t>(findings.rows.size()))
      .set("num_feasible", static_cast<std::int64_t>(num_feasible(findings)))
      .set("best", rows_json(findings, best));
  if (findings.goals.size() > 1) document.set("pareto", rows_json(findings, pareto_set(findings)));
  return document;
}

std::string sweep_csv(const SweepFindings& findings) {
  const std::vector<std::string> metrics = known_metrics(findings);
  Table table{"", {"point", "id"}, {}};
  const auto append = [](std::vector<std::string>& cells, const std::vector<std::string>& more) {
    cells.insert(cells.end(), more.begin(), more.end());
  };
  append(table.columns, findings.fields);
  append(table.columns, {"feasible", "reason"});
  append(table.columns, metrics);
  for (const SweepRow& row : findings.rows) {
    std::vector<std::string> cells = {std::to_string(row.point), row.id};
    append(cells, row.set);
    append(cells, {row.feasible ? "1" : "0", row.reason});
    for (const std::string& metric : metrics) {
      const double* value = row.metric(metric);
      cells.push_back(value == nullptr ? "" : number_text(*value));
    }
    table.rows.push_back(std::move(cells));
  }
  return csv_text(table);
}

}  // namespace moesim
