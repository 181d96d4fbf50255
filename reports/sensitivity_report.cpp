// What `moesim sensitivity` found, for people and for programs.
#include <algorithm>

#include "reports/format.hpp"
#include "reports/sensitivity.hpp"

namespace moesim {
namespace {

std::string end_text(const SensitivityResult& result, const SensitivityEnd& end) {
  if (!end.metric) return "refused (" + end.input + ")";
  return format_metric(result.metric.name, *end.metric) + " (" + end.input +
         (end.feasible ? ")" : ", infeasible)");
}

std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

// "/operations/failures/*/observed/count (18)": items of a list count as one.
std::vector<std::string> without_indices(const std::vector<std::string>& pointers) {
  std::vector<std::pair<std::string, std::size_t>> counted;
  for (const std::string& pointer : pointers) {
    std::string pattern;
    for (std::size_t at = 0; at < pointer.size();) {
      const std::size_t end = std::min(pointer.find('/', at + 1), pointer.size());
      const std::string step = pointer.substr(at, end - at);
      const bool is_index =
          step.size() > 1 && step.find_first_not_of("0123456789", 1) == std::string::npos;
      pattern += is_index ? "/*" : step;
      at = end;
    }
    const auto known = std::find_if(
        counted.begin(), counted.end(), [&](const auto& one) { return one.first == pattern; });
    if (known == counted.end())
      counted.emplace_back(pattern, 1);
    else
      ++known->second;
  }
  std::vector<std::string> texts;
  for (const auto& [pattern, count] : counted)
    texts.push_back(count == 1 ? pattern : pattern + " (" + std::to_string(count) + ")");
  return texts;
}

std::string share_text(double swing, double value) {
  return value != 0 ? format_percent(swing / value) : "";
}

std::string name_of(const SensitivityRow& row) {
  return row.is_calibration ? "calibration: " + row.name : row.name;
}

// Percentages as the user knows them: 10 %, 4.56 %.
std::string by_text(const SensitivityRow& row) {
  return row.by ? format_percent(*row.by) : "each kernel's own";
}

Chart tornado(const SensitivityResult& result, std::size_t num_rows) {
  BarChart chart;
  chart.value = {result.metric.name, "", false};
  chart.category_name = "source";
  chart.sideways = true;
  chart.series = {{"low or fast end", {}}, {"high or slow end", {}}};
  chart.marks = {{"the scenario", std::nullopt, result.value}};
  for (std::size_t i = 0; i < num_rows; ++i) {
    const SensitivityRow& row = result.rows[i];
    chart.categories.push_back(name_of(row));
    for (std::size_t side = 0; side < 2; ++side)
      chart.series[side].bars.push_back(
          {result.value, row.ends[side].metric.value_or(result.value)});
  }
  const std::string most = num_rows == 0
                               ? "Nothing moves it."
                               : name_of(result.rows.front()) + " moves it most, by " +
                                     share_text(result.rows.front().swing(), result.value) +
                                     " from end to end.";
  return {"What " + result.metric.name + " depends on", most, std::move(chart)};
}

Section ranking_section(const SensitivityResult& result, std::size_t top) {
  Section section;
  section.title = "What matters, most first";
  const std::size_t shown = std::min(top, result.rows.size());
  Table table{"",
              {"source",
               "value",
               "uncertainty",
               "from",
               "low or fast end",
               "high or slow end",
               "swing",
               "elasticity"},
              {}};
  for (std::size_t i = 0; i < shown; ++i) {
    const SensitivityRow& row = result.rows[i];
    table.rows.push_back({name_of(row),
                          row.value,
                          by_text(row),
                          row.basis,
                          end_text(result, row.ends[0]),
                          end_text(result, row.ends[1]),
                          share_text(row.swing(), result.value),
                          row.elasticity ? digits4(*row.elasticity) : ""});
  }
  section.tables.push_back(std::move(table));
  section.charts.push_back(tornado(result, shown));
  if (shown < result.rows.size()) {
    std::vector<std::string> rest;
    for (std::size_t i = shown; i < result.rows.size(); ++i)
      rest.push_back(name_of(result.rows[i]));
    section.notes.push_back("Less than these: " + listed(without_indices(rest)) + ".");
  }
  section.notes.push_back(
      "Uncertainty: of calibration the 90 % error of the profile (held_out, in_sample, stated; "
      "roofline: nobody measured it); \"scenario\": as the scenario's \"uncertain\" says; "
      "\"assumed\": " +
      format_percent(result.by) + " for all whose uncertainty nobody states (--by).");
  return section;
}

Section rest_section(const SensitivityResult& result) {
  Section section;
  section.title = "What does not matter, and what was not moved";
  if (!result.without_effect.empty())
    section.notes.push_back("No effect: " + listed(without_indices(result.without_effect)) + ".");
  for (const SensitivityRow& row : result.refused)
    section.notes.push_back("Refused at both ends: " + row.name + ": " + row.ends[1].refusal);
  for (const SensitivityRow& row : result.rows)
    for (const SensitivityEnd& end : row.ends)
      if (!end.refusal.empty())
        section.notes.push_back("Refused at one end: " + row.name + " = " + end.input + ": " +
                                end.refusal);
  if (!result.not_moved.empty())
    section.notes.push_back("Zero, or a whole number too small to move by its uncertainty: " +
                            listed(without_indices(result.not_moved)) + ".");
  if (!result.lists.empty())
    section.notes.push_back("Lists of numbers, not moved: " + listed(result.lists) + ".");
  section.notes.emplace_back(
      "The model itself is never moved: other numbers make it another model.");
  return section;
}

JsonValue end_json(const SensitivityEnd& end) {
  JsonValue json = JsonValue::object();
  json.set("input", end.input)
      .set("metric", end.metric ? JsonValue(*end.metric) : JsonValue())
      .set("feasible", end.feasible);
  if (!end.refusal.empty()) json.set("refusal", end.refusal);
  return json;
}

JsonValue row_json(const SensitivityRow& row) {
  return JsonValue::object()
      .set("source", row.name)
      .set("kind", row.is_calibration ? "calibration" : "input")
      .set("value", row.value)
      .set("uncertainty", row.by ? JsonValue(*row.by) : JsonValue())
      .set("basis", row.basis)
      .set("low", end_json(row.ends[0]))
      .set("high", end_json(row.ends[1]))
      .set("swing", row.swing())
      .set("elasticity", row.elasticity ? JsonValue(*row.elasticity) : JsonValue());
}

JsonValue words_json(const std::vector<std::string>& words) {
  JsonValue list = JsonValue::array();
  for (const std::string& word : words) list.push(word);
  return list;
}

}  // namespace

Report sensitivity_report(const SensitivityResult& result, std::size_t top) {
  Report report;
  report.title = "What " + result.metric.name + " of " + result.scenario + " depends on";
  report.facts = {
      {"scenario", result.scenario + " (" + result.hash + ")"},
      {result.metric.name, format_metric(result.metric.name, result.value)},
      {"90 % interval of the calibration",
       result.calibration ? format_metric(result.metric.name, result.calibration->low) + " to " +
                                format_metric(result.metric.name, result.calibration->high)
                          : result.no_calibration},
      {"simulations of inputs", std::to_string(result.num_simulations)}};
  if (result.from_balanced)
    report.facts.emplace_back("inputs",
                              "relative changes of the run with balanced routing; those of routing "
                              "simulated as they are");
  report.sections = {ranking_section(result, top), rest_section(result)};
  return report;
}

JsonValue sensitivity_json(const SensitivityResult& result) {
  JsonValue rows = JsonValue::array(), refused = JsonValue::array();
  for (const SensitivityRow& row : result.rows) rows.push(row_json(row));
  for (const SensitivityRow& row : result.refused) refused.push(row_json(row));
  JsonValue json = JsonValue::object();
  json.set("schema_version", 1)
      .set("scenario", JsonValue::object().set("name", result.scenario).set("hash", result.hash))
      .set("metric", result.metric.name)
      .set("pointer", result.metric.pointer)
      .set("value", result.value)
      .set("assumed_uncertainty", result.by)
      .set("from_balanced_routing", result.from_balanced);
  if (result.calibration)
    json.set("calibration_interval",
             JsonValue::array().push(result.calibration->low).push(result.calibration->high));
  return json.set("ranking", std::move(rows))
      .set("without_effect", words_json(result.without_effect))
      .set("refused", std::move(refused))
      .set("not_moved", words_json(result.not_moved))
      .set("lists_not_moved", words_json(result.lists));
}

}  // namespace moesim
