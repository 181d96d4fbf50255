// What `moesim compare` found, for people and for programs.
#include <algorithm>
#include <cmath>

#include "model/json_message.hpp"
#include "reports/comparison.hpp"
#include "reports/format.hpp"

namespace moesim {
namespace {

// Parts that differ by less differ by the rounding of sums.
bool is_same(const DifferenceParts& parts, const DifferenceParts::Part& part) {
  constexpr double kSameShare = 1e-9;
  return std::abs(part.b - part.a) <= kSameShare * std::max(parts.total_a, parts.total_b);
}

std::string signed_metric(const std::string& name, double difference) {
  return (difference < 0 ? "-" : "+") + format_metric(name, std::abs(difference));
}

std::string change_text(double a, double b) {
  return a != 0 ? format_signed_percent(100 * (b / a - 1)) : "";
}

std::string verdict(const MetricDifference& d) {
  if (!d.ratio_interval) return "no interval";
  const Interval& i = *d.ratio_interval;
  const std::string range =
      format_signed_percent(100 * (i.low - 1)) + " to " + format_signed_percent(100 * (i.high - 1));
  return range + (i.contains(1) ? ", may be none" : "");
}

Section differences_section(const ResultComparison& c) {
  Section section;
  section.title = "What differs";
  if (c.differences.empty()) section.paragraphs.emplace_back("No number of the two differs.");
  Table table{"", {"metric", "A", "B", "B - A", "change", "90 % interval of the change"}, {}};
  for (const MetricDifference& d : c.differences)
    table.rows.push_back({d.name,
                          format_metric(d.name, d.a),
                          format_metric(d.name, d.b),
                          signed_metric(d.name, d.b - d.a),
                          change_text(d.a, d.b),
                          verdict(d)});
  if (!table.rows.empty()) section.tables.push_back(std::move(table));
  section.notes.push_back(
      c.paired ? "Both have the profile " + c.sides[0].profile +
                     ": its errors are common to both and cancel where they move both alike."
      : c.no_intervals.empty()
          ? "The calibration errors of the two are taken to be independent, which makes the "
            "intervals wider than those of two scenarios with one profile."
          : c.no_intervals);
  if (!c.same.empty()) {
    std::string same;
    for (const std::string& name : c.same) same += (same.empty() ? "" : ", ") + name;
    section.notes.push_back("The same in both: " + same + ".");
  }
  return section;
}

Chart waterfall_of(const DifferenceParts& p) {
  BarChart chart;
  chart.value = {p.metric, "", false};
  chart.category_name = "part";
  chart.sideways = true;
  BarChart::Series series{"B - A", {}};
  double at = p.total_a;
  for (const DifferenceParts::Part& part : p.parts) {
    if (is_same(p, part)) continue;
    chart.categories.push_back(part.name);
    series.bars.push_back({at, at + part.b - part.a});
    at += part.b - part.a;
  }
  chart.series.push_back(std::move(series));
  chart.marks = {{"A", std::nullopt, p.total_a}, {"B", std::nullopt, p.total_b}};
  return {p.title + ": from A to B",
          "The difference of " + signed_metric(p.metric, p.total_b - p.total_a) + " by part.",
          std::move(chart)};
}

Section parts_section(const DifferenceParts& p) {
  Section section;
  section.title = p.title;
  Table table{"", {"part", "A", "B", "B - A", "of the difference"}, {}};
  const double total = p.total_b - p.total_a;
  const auto row = [&](const std::string& name, double a, double b) {
    table.rows.push_back({name,
                          format_metric(p.metric, a),
                          format_metric(p.metric, b),
                          signed_metric(p.metric, b - a),
                          total != 0 ? format_percent((b - a) / total) : ""});
  };
  std::vector<DifferenceParts::Part> parts = p.parts;
  std::stable_sort(parts.begin(), parts.end(), [](const auto& x, const auto& y) {
    return std::abs(x.b - x.a) > std::abs(y.b - y.a);
  });
  std::string same;
  for (const DifferenceParts::Part& part : parts) {
    if (!is_same(p, part))
      row(part.name, part.a, part.b);
    else if (part.a != 0)
      same += (same.empty() ? "" : ", ") + part.name;
  }
  row("all", p.total_a, p.total_b);
  section.tables.push_back(std::move(table));
  section.charts.push_back(waterfall_of(p));
  if (!same.empty()) section.notes.push_back("The same in both: " + same + ".");
  return section;
}

Section inputs_section(const ResultComparison& c) {
  Section section;
  section.title = "Which inputs differ";
  if (!c.inputs_known) {
    section.paragraphs.push_back(
        c.sides[0].hash == c.sides[1].hash
            ? "Both results are of one scenario: the hashes are the same."
            : "A result file has its scenario's hash and not its inputs, and the hashes differ. "
              "Compare the scenario files to see what each input does.");
    return section;
  }
  if (c.inputs.empty()) section.paragraphs.emplace_back("None.");
  constexpr std::size_t kShown = 40;
  Table table{"", {"input", "A", "B"}, {}};
  for (std::size_t i = 0; i < std::min(kShown, c.inputs.size()); ++i)
    table.rows.push_back({c.inputs[i].pointer,
                          c.inputs[i].a.empty() ? "(left out)" : c.inputs[i].a,
                          c.inputs[i].b.empty() ? "(left out)" : c.inputs[i].b});
  if (!table.rows.empty()) section.tables.push_back(std::move(table));
  if (c.inputs.size() > kShown)
    section.notes.push_back(std::to_string(c.inputs.size() - kShown) + " more are in --json.");
  return section;
}

struct Attribution {
  double sum = 0;  // of the effects that there are, each input in one of them
  bool is_whole = true;
};

// An input that was refused alone counts in the group of such.
Attribution attribution(const ResultComparison& c) {
  Attribution result;
  const bool has_group = c.effects.size() > c.inputs.size() && c.effects.back().metric;
  for (const FieldEffect& effect : c.effects) {
    if (effect.metric)
      result.sum += *effect.metric - c.effect_a;
    else if (!has_group)
      result.is_whole = false;
  }
  return result;
}

Section effects_section(const ResultComparison& c) {
  Section section;
  section.title = "What each difference does alone";
  if (c.effect_metric.empty()) {
    section.paragraphs.push_back("Not simulated: " + c.no_effects + ".");
    return section;
  }
  Table table{"", {"of B in A", c.effect_metric, "effect", "change"}, {}};
  std::vector<const FieldEffect*> effects;
  for (const FieldEffect& effect : c.effects) effects.push_back(&effect);
  const auto size = [&](const FieldEffect* e) {
    return e->metric ? std::abs(*e->metric - c.effect_a) : -1;
  };
  std::stable_sort(effects.begin(), effects.end(), [&](const FieldEffect* x, const FieldEffect* y) {
    return size(x) > size(y);
  });
  for (const FieldEffect* effect : effects) {
    std::string name;
    for (const std::string& pointer : effect->pointers)
      name += (name.empty() ? "" : " and ") + pointer;
    if (!effect->metric) {
      table.rows.push_back({name, "refused", "", ""});
      section.notes.push_back(name + " alone: " + effect->refusal);
      continue;
    }
    table.rows.push_back({name,
                          format_metric(c.effect_metric, *effect->metric),
                          signed_metric(c.effect_metric, *effect->metric - c.effect_a),
                          change_text(c.effect_a, *effect->metric)});
  }
  const Attribution known = attribution(c);
  const double total = c.effect_b - c.effect_a;
  table.rows.push_back(
      {known.is_whole ? "interaction of all" : "the rest, and interaction",
       "",
       signed_metric(c.effect_metric, total - known.sum),
       c.effect_a != 0 ? format_signed_percent(100 * (total - known.sum) / c.effect_a) : ""});
  table.rows.push_back({"all (B)",
                        format_metric(c.effect_metric, c.effect_b),
                        signed_metric(c.effect_metric, total),
                        change_text(c.effect_a, c.effect_b)});
  section.tables.push_back(std::move(table));
  return section;
}

JsonValue side_json(const ComparisonSide& side) {
  return JsonValue::object()
      .set("name", side.name)
      .set("hash", side.hash)
      .set("profile", side.profile)
      .set("from", side.is_scenario ? "scenario" : "result_file")
      .set("feasible", side.is_feasible);
}

JsonValue effects_json(const ResultComparison& c) {
  JsonValue effects = JsonValue::array();
  for (const FieldEffect& effect : c.effects) {
    JsonValue pointers = JsonValue::array();
    for (const std::string& pointer : effect.pointers) pointers.push(pointer);
    JsonValue one = JsonValue::object();
    one.set("inputs", std::move(pointers))
        .set("metric", effect.metric ? JsonValue(*effect.metric) : JsonValue())
        .set("effect", effect.metric ? JsonValue(*effect.metric - c.effect_a) : JsonValue());
    if (!effect.refusal.empty()) one.set("refusal", effect.refusal);
    effects.push(std::move(one));
  }
  return JsonValue::object()
      .set("metric", c.effect_metric)
      .set("a", c.effect_a)
      .set("b", c.effect_b)
      .set("effects", std::move(effects))
      .set("remainder", c.effect_b - c.effect_a - attribution(c).sum);
}

}  // namespace

Report comparison_report(const ResultComparison& c) {
  Report report;
  report.title = c.sides[0].name == c.sides[1].name
                     ? c.sides[0].name + ", twice"
                     : c.sides[0].name + " next to " + c.sides[1].name;
  for (std::size_t i = 0; i < 2; ++i) {
    const ComparisonSide& side = c.sides[i];
    report.facts.emplace_back(i == 0 ? "A" : "B",
                              side.name + " (" + side.hash + "), profile " + side.profile +
                                  (side.is_scenario ? ", simulated" : ", from its result file"));
    if (!side.is_feasible)
      report.warnings.push_back(std::string(i == 0 ? "A" : "B") + " is infeasible.");
  }
  report.sections.push_back(differences_section(c));
  for (const DifferenceParts& parts : c.parts)
    if (parts.parts.size() > 1 &&
        std::any_of(parts.parts.begin(), parts.parts.end(), [&](const auto& part) {
          return !is_same(parts, part);
        }))
      report.sections.push_back(parts_section(parts));
  report.sections.push_back(inputs_section(c));
  if (c.inputs_known && !c.inputs.empty()) report.sections.push_back(effects_section(c));
  return report;
}

JsonValue comparison_json(const ResultComparison& c) {
  JsonValue differences = JsonValue::array(), parts = JsonValue::array(),
            inputs = JsonValue::array(), same = JsonValue::array();
  for (const MetricDifference& d : c.differences) {
    JsonValue one = JsonValue::object();
    one.set("metric", d.name)
        .set("a", d.a)
        .set("b", d.b)
        .set("difference", d.b - d.a)
        .set("ratio", d.ratio ? JsonValue(*d.ratio) : JsonValue());
    if (d.ratio_interval)
      one.set("ratio_interval",
              JsonValue::array().push(d.ratio_interval->low).push(d.ratio_interval->high));
    differences.push(std::move(one));
  }
  for (const DifferenceParts& p : c.parts) {
    JsonValue list = JsonValue::array();
    for (const DifferenceParts::Part& part : p.parts)
      list.push(JsonValue::object()
                    .set("part", part.name)
                    .set("a", part.a)
                    .set("b", part.b)
                    .set("difference", part.b - part.a));
    parts.push(JsonValue::object()
                   .set("title", p.title)
                   .set("metric", p.metric)
                   .set("a", p.total_a)
                   .set("b", p.total_b)
                   .set("parts", std::move(list)));
  }
  for (const InputDifference& input : c.inputs)
    inputs.push(JsonValue::object()
                    .set("input", input.pointer)
                    .set("a", input.a.empty() ? JsonValue() : JsonValue(input.a))
                    .set("b", input.b.empty() ? JsonValue() : JsonValue(input.b)));
  for (const std::string& name : c.same) same.push(name);
  JsonValue json = JsonValue::object();
  json.set("schema_version", 1)
      .set("a", side_json(c.sides[0]))
      .set("b", side_json(c.sides[1]))
      .set("common_errors_cancel", c.paired)
      .set("differences", std::move(differences))
      .set("same", std::move(same))
      .set("parts", std::move(parts));
  if (c.inputs_known) json.set("inputs", std::move(inputs));
  if (!c.effect_metric.empty()) json.set("one_at_a_time", effects_json(c));
  return json;
}

}  // namespace moesim
