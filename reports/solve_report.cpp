// What `moesim solve` found, for people and for programs.
#include <algorithm>

#include "reports/format.hpp"
#include "reports/solve.hpp"

namespace moesim {
namespace {

std::string value_text(const SolveAnswer& answer, const SolvePoint& point, std::size_t bound) {
  const std::optional<double>& value = point.values[bound];
  return value ? format_metric(answer.bounds[bound].metric.name, *value) : "-";
}

// "ttft_s/p99 is 1.2 s (40 % room)"; both sides of an answer have the same four digits.
std::string values_text(const SolveAnswer& answer, const SolvePoint& point) {
  if (!point.refusal.empty() && !point.values.front()) return point.refusal;
  std::string text;
  for (std::size_t i = 0; i < answer.bounds.size(); ++i) {
    const MetricBound& bound = answer.bounds[i];
    text += (i == 0 ? "" : ", ") + bound.metric.name + " is " + value_text(answer, point, i);
    if (!point.values[i]) continue;
    const double margin = bound.margin(*point.values[i]);
    text += " (" + format_percent(std::abs(margin)) + (margin < 0 ? " too " : " room)");
    if (margin < 0) text += bound.is_upper ? "much)" : "little)";
  }
  return text + (point.refusal.empty() ? "" : ", but " + point.refusal);
}

double least_margin(const SolveAnswer& answer, const SolvePoint& point) {
  double least = 0;
  for (std::size_t i = 0; i < answer.bounds.size(); ++i) {
    if (!point.values[i]) return -1e300;
    const double margin = answer.bounds[i].margin(*point.values[i]);
    if (i == 0 || margin < least) least = margin;
  }
  return point.refusal.empty() ? least : least - 1e100;
}

const SolvePoint& nearest_to_holding(const SolveAnswer& answer) {
  return *std::max_element(answer.solution.points.begin(),
                           answer.solution.points.end(),
                           [&](const SolvePoint& a, const SolvePoint& b) {
                             return least_margin(answer, a) < least_margin(answer, b);
                           });
}

std::string bounds_text(const SolveAnswer& answer) {
  std::string text;
  for (const MetricBound& bound : answer.bounds) text += (text.empty() ? "" : ", ") + bound.text;
  return text;
}

std::string range_text(const SolveAnswer& answer) {
  const ScaledField& field = answer.search.field;
  return field.text(answer.search.low) + " to " + field.text(answer.search.high);
}

std::vector<std::string> answer_sentences(const SolveAnswer& answer) {
  const ScaledField& field = answer.search.field;
  const std::vector<SolveCrossing>& crossings = answer.solution.crossings;
  if (never_holds(answer)) {
    const SolvePoint& best = nearest_to_holding(answer);
    return {"Never holds between " + range_text(answer) + ". Nearest at " + field.text(best.at) +
            ": " + values_text(answer, best) + "."};
  }
  if (crossings.empty())
    return {"Holds everywhere from " + range_text(answer) + "; at " +
            field.text(answer.search.low) + " " +
            values_text(answer, answer.solution.points.front()) + "."};
  std::vector<std::string> sentences;
  for (const SolveCrossing& crossing : crossings)
    sentences.push_back(std::string(crossing.holds_above() ? "Holds from " : "Holds up to ") +
                        field.text(crossing.holding().at) + ": " +
                        values_text(answer, crossing.holding()) + ". At " +
                        field.text(crossing.failing().at) + " " +
                        values_text(answer, crossing.failing()) + ".");
  return sentences;
}

std::vector<std::string> notes_of(const SolveAnswer& answer) {
  const ScaledField& field = answer.search.field;
  const std::vector<SolveCrossing>& crossings = answer.solution.crossings;
  std::vector<std::string> notes;
  if (crossings.size() > 1)
    notes.push_back("The answer changes " + std::to_string(crossings.size()) +
                    " times in this range; each change is given above.");
  for (const std::string& contradiction : answer.contradictions)
    notes.push_back(contradiction + ".");
  if (crossings.size() == 1) {
    const SolveCrossing& crossing = crossings.front();
    if (const auto bound = crossing.failing().fails_first; bound && answer.bounds.size() > 1)
      notes.push_back("What decides is " + answer.bounds[*bound].text + ".");
    const SolvePoint& far =
        crossing.holds_above() ? answer.solution.points.back() : answer.solution.points.front();
    notes.push_back("At the end of the range, " + field.text(far.at) + ", " +
                    values_text(answer, far) + ".");
  }
  std::size_t refused = 0;
  const SolvePoint* first = nullptr;
  for (const SolvePoint& point : answer.solution.points)
    if (!point.refusal.empty()) {
      ++refused;
      if (first == nullptr) first = &point;
    }
  if (first != nullptr)
    notes.push_back(std::to_string(refused) + " values hold nothing, the first at " +
                    field.text(first->at) + ": " + first->refusal + ".");
  if (answer.own)
    notes.push_back("The scenario has " + field.text(answer.own->at) + ": " +
                    values_text(answer, *answer.own) +
                    (answer.own->holds ? ", which holds." : ", which does not hold."));
  return notes;
}

Chart chart_of(const SolveAnswer& answer) {
  const MetricBound& bound = answer.bounds.front();
  const ScaledField& field = answer.search.field;
  XyChart chart;
  chart.x = {field.pointer, field.unit, answer.search.low > 0};
  chart.y = {bound.metric.name, "", false};
  XyChart::Series series{bound.metric.name, XyChart::Drawn::line, {}, {}};
  for (const SolvePoint& point : answer.solution.points)
    if (point.values.front()) series.points.emplace_back(point.at, *point.values.front());
  chart.series.push_back(std::move(series));
  chart.marks.push_back({bound.text, std::nullopt, bound.limit});
  for (const SolveCrossing& crossing : answer.solution.crossings)
    chart.marks.push_back({"answer", crossing.holding().at, std::nullopt});
  if (answer.own) chart.marks.push_back({"the scenario", answer.own->at, std::nullopt});
  return {bound.metric.name + " over " + field.pointer,
          answer_sentences(answer).front(),
          std::move(chart)};
}

JsonValue point_json(const SolveAnswer& answer, const SolvePoint& point) {
  JsonValue values = JsonValue::object();
  for (std::size_t i = 0; i < answer.bounds.size(); ++i) {
    const std::string& name = answer.bounds[i].metric.name;
    if (i == 0 || name != answer.bounds[0].metric.name)
      values.set(name, point.values[i] ? JsonValue(*point.values[i]) : JsonValue());
  }
  JsonValue json = JsonValue::object();
  json.set("value", answer.search.field.text(point.at))
      .set("number", point.at)
      .set("holds", point.holds)
      .set("metrics", std::move(values));
  if (!point.refusal.empty()) json.set("refusal", point.refusal);
  return json;
}

}  // namespace

Report solve_report(const SolveAnswer& answer) {
  Report report;
  report.title = answer.search.field.pointer + " for " + bounds_text(answer);
  report.facts = {
      {"scenario", answer.scenario + " (" + answer.hash + ")"},
      {"range", range_text(answer)},
      {"simulations",
       std::to_string(answer.solution.points.size()) +
           (answer.first_phase_only ? ", of the first phase" : "")},
      {"precision",
       answer.search.field.is_whole ? "exact" : format_percent(answer.search.precision)}};
  Section section;
  section.title = "Answer";
  section.paragraphs = answer_sentences(answer);
  section.notes = notes_of(answer);
  Table table{"", {answer.search.field.pointer}, {}};
  for (const MetricBound& bound : answer.bounds) table.columns.push_back(bound.metric.name);
  table.columns.emplace_back("holds");
  for (const SolvePoint& point : answer.solution.points) {
    std::vector<std::string> row = {answer.search.field.text(point.at)};
    for (std::size_t i = 0; i < answer.bounds.size(); ++i)
      row.push_back(value_text(answer, point, i));
    row.emplace_back(point.holds ? "yes" : "no");
    table.rows.push_back(std::move(row));
  }
  Section simulated;
  simulated.title = "What was simulated";
  simulated.tables.push_back(std::move(table));
  if (std::any_of(answer.solution.points.begin(),
                  answer.solution.points.end(),
                  [](const SolvePoint& p) { return p.values.front().has_value(); }))
    section.charts.push_back(chart_of(answer));
  report.sections = {std::move(section), std::move(simulated)};
  return report;
}

JsonValue solve_json(const SolveAnswer& answer) {
  JsonValue bounds = JsonValue::array(), crossings = JsonValue::array(),
            points = JsonValue::array(), contradictions = JsonValue::array();
  for (const MetricBound& bound : answer.bounds)
    bounds.push(JsonValue::object()
                    .set("text", bound.text)
                    .set("metric", bound.metric.name)
                    .set("pointer", bound.metric.pointer)
                    .set("limit", bound.limit));
  for (const SolveCrossing& crossing : answer.solution.crossings)
    crossings.push(JsonValue::object()
                       .set("holds", crossing.holds_above() ? "from" : "up_to")
                       .set("holding", point_json(answer, crossing.holding()))
                       .set("failing", point_json(answer, crossing.failing())));
  for (const SolvePoint& point : answer.solution.points) points.push(point_json(answer, point));
  for (const std::string& text : answer.contradictions) contradictions.push(text);
  JsonValue json = JsonValue::object();
  json.set("schema_version", 1)
      .set("scenario", JsonValue::object().set("name", answer.scenario).set("hash", answer.hash))
      .set("field", answer.search.field.pointer)
      .set("bounds", std::move(bounds))
      .set("outcome",
           never_holds(answer)                     ? "never_holds"
           : answer.solution.crossings.empty()     ? "always_holds"
           : answer.solution.crossings.size() == 1 ? "one_crossing"
                                                   : "several_crossings");
  if (answer.own) json.set("own", point_json(answer, *answer.own));
  return json.set("crossings", std::move(crossings))
      .set("contradictions", std::move(contradictions))
      .set("points", std::move(points));
}

}  // namespace moesim
