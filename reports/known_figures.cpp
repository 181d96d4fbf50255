#include "reports/known_figures.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "reports/formulas.hpp"
#include "reports/model_json.hpp"
#include "reports/report.hpp"
#include "reports/serving/serving_report.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

FigureRole read_role(ObjectReader& reader) {
  const std::string role = reader.choice("role", {"definition", "fit", "held_out"});
  return role == "definition" ? FigureRole::definition
         : role == "fit"      ? FigureRole::fit
                              : FigureRole::held_out;
}

// A scenario and what is changed in it.
std::string run_key(const std::string& scenario, const Settings& settings) {
  std::string key = scenario;
  for (const auto& [pointer, value] : settings) key += "\n" + pointer + "=" + canonical_text(value);
  return key;
}

using Terms = std::vector<std::pair<std::string, double>>;

// The weighted sum of values that the figure names in a document.
double value_in(const JsonValue& document, const KnownFigure& f, const Terms& terms) {
  double value = 0;
  for (const auto& [pointer, weight] : terms) {
    const auto found = document.number_at(pointer);
    if (!found)
      throw InputError(
          f.file + "/from/value",
          "no number at \"" + pointer + "\" of " + (f.scenario.empty() ? f.model : f.scenario));
    value += weight * *found;
  }
  return value;
}

}  // namespace

void read_origin(ObjectReader& reader, KnownFigure& f) {
  ObjectReader from = reader.object("from");
  if (from.has("unpredicted")) {
    f.unpredicted = from.text("unpredicted");
  } else if (from.has("formula")) {
    f.formula = from.text("formula");
    f.scenario = from.text_or("scenario", "");
    const JsonNode& inputs = from.required("inputs");
    if (inputs.kind != JsonNode::Kind::object)
      from.fail("inputs", "expected an object of numbers and names");
    for (const auto& [key, value] : inputs.members) {
      if (value.kind == JsonNode::Kind::string)
        f.named_inputs[key] = value.text;
      else
        f.inputs[key] = as_number(value, -1e300, 1e300);
    }
  } else {
    f.scenario = from.text_or("scenario", "");
    f.model = from.text_or("model", "");
    f.input = from.text_or("input", "");
    if (const JsonNode* set = from.optional("set")) {
      if (f.scenario.empty()) from.fail("set", "given without a \"scenario\"");
      if (set->kind != JsonNode::Kind::object)
        from.fail("set", "expected an object of JSON pointers, found " + set->describe());
      f.settings = set->members;
    }
    if (from.has("over") && !f.model.empty()) {
      ObjectReader over = from.object("over");
      f.over_model = over.text("model");
      over.finish();
    } else if (from.has("over")) {
      if (f.scenario.empty()) from.fail("over", "given without a \"scenario\" or a \"model\"");
      ObjectReader over = from.object("over");
      f.over = over.object("set").node().members;
      if (over.has("value")) f.over_value = over.text("value");
      f.is_gain = over.boolean_or("gain", false);
      over.finish();
    }
    if (!f.scenario.empty() + !f.model.empty() + !f.input.empty() != 1)
      from.fail(
          "expected one of \"scenario\", \"model\", \"input\", \"formula\" and \"unpredicted\"");
    const JsonNode& value = from.required("value");
    if (value.kind == JsonNode::Kind::object)
      for (const auto& [pointer, weight] : value.members)
        f.terms.emplace_back(pointer, as_number(weight, -1e9, 1e9));
    else
      f.terms.emplace_back(as_text(value), 1.0);
  }
  from.finish();
}

JsonNode input_value(const fs::path& file, const std::string& pointer, const std::string& place) {
  const JsonNode root = read_json_file(file);
  const JsonNode* node = &root;
  std::istringstream steps(pointer.substr(std::min<std::size_t>(1, pointer.size())));
  for (std::string step; node != nullptr && std::getline(steps, step, '/');)
    node = node->find(step);
  if (node == nullptr || pointer.empty() || pointer.front() != '/')
    throw InputError(place, "nothing at \"" + pointer + "\" of " + file.string());
  return *node;
}

const char* role_name(FigureRole role) {
  return role == FigureRole::definition ? "definition"
         : role == FigureRole::fit      ? "fit"
                                        : "held_out";
}

std::vector<KnownFigure> read_known_figures(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const char* name : {"published", "measured"}) {
    if (!fs::is_directory(folder / name)) continue;
    std::vector<fs::path> here;
    for (const auto& entry : fs::directory_iterator(folder / name))
      if (entry.path().extension() == ".json" && entry.path().filename() != kClaimsFile)
        here.push_back(entry.path());
    std::sort(here.begin(), here.end());
    files.insert(files.end(), here.begin(), here.end());
  }
  std::vector<KnownFigure> figures;
  for (const fs::path& path : files) {
    const JsonNode node = read_json_file(path);
    ObjectReader row(node);
    const std::string id = row.text("id"), source = row.text("source");
    row.text("quote");
    const JsonNode& list = row.required("figures");
    if (list.kind != JsonNode::Kind::array || list.items.empty())
      row.fail("figures", "expected an array of at least one figure");
    for (const JsonNode& item : list.items) {
      ObjectReader reader(item);
      KnownFigure f;
      f.file = item.place();
      f.id = reader.has("id") ? id + "." + reader.text("id") : id;
      f.source = source;
      f.quantity = reader.text("quantity");
      f.unit = reader.text_or("unit", "");
      f.known = reader.number("known", -1e300, 1e300);
      f.role = read_role(reader);
      read_origin(reader, f);
      f.tolerance_pct = f.unpredicted.empty() ? reader.number("tolerance_pct", 0, 1000) : 0;
      f.scale = reader.number_or("scale", -1e300, 1e300, 1);
      f.note = reader.text_or("note", "");
      f.part_of = reader.text_or("part_of", "");
      reader.finish();
      figures.push_back(std::move(f));
    }
    row.finish();
  }
  return figures;
}

FigureEvaluator::FigureEvaluator(fs::path scenario_folder, int num_threads)
    : folder_(std::move(scenario_folder)), num_threads_(num_threads) {}

void FigureEvaluator::add_run(const std::string& key,
                              const Scenario& scenario,
                              const RunResult& run,
                              const std::optional<Uncertainty>& uncertainty) {
  WithEnds<JsonValue> documents;
  documents.base = run_json(scenario, run, {});
  if (uncertainty)
    for (const auto& [fast, slow] : uncertainty->ends)
      documents.ends.push_back({run_json(scenario, fast, {}), run_json(scenario, slow, {})});
  runs_.emplace(key, std::move(documents));
}

void FigureEvaluator::add_run(const std::string& key,
                              const ServingScenario& scenario,
                              const ServingRun& run,
                              const std::optional<ServingUncertainty>& uncertainty) {
  WithEnds<JsonValue> documents;
  documents.base = serving_json(scenario, run, {});
  if (uncertainty)
    for (const auto& [fast, slow] : uncertainty->ends)
      documents.ends.push_back(
          {serving_json(scenario, fast, {}), serving_json(scenario, slow, {})});
  runs_.emplace(key, std::move(documents));
}

auto FigureEvaluator::scenario_of(const std::string& name, const Settings& settings)
    -> const WithEnds<Scenario>& {
  const std::string key = run_key(name, settings);
  auto it = scenarios_.find(key);
  if (it == scenarios_.end()) {
    WithEnds<Scenario> scenario{read_scenario(folder_ / name, settings), {}};
    for (const ErrorSource& source : error_sources(scenario.base))
      scenario.ends.push_back(
          {perturbed(scenario.base, source, -1), perturbed(scenario.base, source, 1)});
    it = scenarios_.emplace(key, std::move(scenario)).first;
  }
  return it->second;
}

auto FigureEvaluator::run_of(const std::string& name, const Settings& settings)
    -> const WithEnds<JsonValue>& {
  const std::string key = run_key(name, settings);
  auto it = runs_.find(key);
  if (it == runs_.end() && is_serving_scenario(folder_ / name)) {
    const ServingScenario scenario = read_serving_scenario(folder_ / name, settings);
    const ServingRun run = run_serving(scenario, {num_threads_, {}, {}});
    add_run(key, scenario, run, serving_uncertainty_of(scenario, run, num_threads_));
    it = runs_.find(key);
  } else if (it == runs_.end()) {
    const Scenario& scenario = scenario_of(name, settings).base;
    RunOptions options;
    options.simulation.num_threads = num_threads_;
    const RunResult run = run_scenario(scenario, options);
    add_run(key, scenario, run, uncertainty_of(scenario, run, num_threads_));
    it = runs_.find(key);
  }
  return it->second;
}

const JsonValue& FigureEvaluator::model_of(const std::string& name) {
  auto it = models_.find(name);
  if (it == models_.end())
    it = models_.emplace(name, model_json(read_model_spec(folder_ / name), 4096)).first;
  return it->second;
}

KnownRow FigureEvaluator::evaluate(const KnownFigure& f) {
  KnownRow row{f, std::nullopt, std::nullopt, std::nullopt, true};
  if (!f.unpredicted.empty()) return row;
  EndValues ends;
  if (!f.formula.empty()) {
    const FormulaInputs inputs(f.inputs, f.file, f.named_inputs);
    if (f.scenario.empty()) {
      row.predicted = evaluate_formula(f.formula, inputs, nullptr);
    } else {
      const auto& scenario = scenario_of(f.scenario, f.settings);
      const auto value = [&](const Scenario& s) { return evaluate_formula(f.formula, inputs, &s); };
      row.predicted = value(scenario.base);
      if (f.role != FigureRole::definition)
        for (const auto& [fast, slow] : scenario.ends) ends.push_back({value(fast), value(slow)});
    }
  } else if (!f.input.empty()) {
    double value = 0;
    for (const auto& [pointer, weight] : f.terms) {
      const JsonNode node = input_value(folder_ / f.input, pointer, f.file + "/from/value");
      value += weight * (node.kind == JsonNode::Kind::boolean ? (node.boolean ? 1 : 0)
                                                              : as_number(node, -1e300, 1e300));
    }
    row.predicted = value;
  } else if (f.scenario.empty()) {
    row.predicted = value_in(model_of(f.model), f, f.terms);
    if (!f.over_model.empty()) *row.predicted /= value_in(model_of(f.over_model), f, f.terms);
  } else {
    const auto& run = run_of(f.scenario, f.settings);
    const auto* over = f.over ? &run_of(f.scenario, *f.over) : nullptr;
    const auto value = [&](const JsonValue& of, const JsonValue* divisor) {
      const double here = value_in(of, f, f.terms);
      if (divisor == nullptr) return here;
      const Terms there = f.over_value ? Terms{{*f.over_value, 1}} : f.terms;
      return here / value_in(*divisor, f, there) - (f.is_gain ? 1 : 0);
    };
    row.predicted = value(run.base, over != nullptr ? &over->base : nullptr);
    if (f.role != FigureRole::definition)
      for (std::size_t i = 0; i < run.ends.size(); ++i) {
        ENSURE(over == nullptr || over->ends.size() == run.ends.size());  // one profile
        const auto end = [&](std::size_t sign) {
          return value(run.ends[i][sign], over != nullptr ? &over->ends[i][sign] : nullptr);
        };
        ends.push_back({end(0), end(1)});
      }
  }
  *row.predicted *= f.scale;
  for (auto& [fast, slow] : ends) {
    fast *= f.scale;
    slow *= f.scale;
  }
  const Interval interval = combined(*row.predicted, ends);
  if (interval.low < interval.high) row.interval = interval;
  row.error_pct = f.known != 0 ? 100 * (*row.predicted / f.known - 1) : 100 * *row.predicted;
  row.within_tolerance = std::abs(*row.error_pct) <= f.tolerance_pct;
  return row;
}

std::vector<KnownRow> FigureEvaluator::rows_about(const std::string& scenario) {
  std::vector<KnownRow> rows;
  for (const KnownFigure& figure : read_known_figures(folder_))
    if (figure.formula.empty() && figure.settings.empty() && !figure.over &&
        figure.scenario == scenario)
      rows.push_back(evaluate(figure));
  return rows;
}

}  // namespace moesim
