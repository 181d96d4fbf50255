#include "reports/sensitivity.hpp"

#include <algorithm>
#include <cmath>

#include "model/json_message.hpp"
#include "model/parallel_for.hpp"
#include "model/scenario_document.hpp"
#include "model/uncertain_inputs.hpp"
#include "reports/serving/serving_report.hpp"

namespace moesim {
namespace {

// As in sim/uncertainty: a step of more events is not repeated as it is for every input.
constexpr double kMostRepeatedEvents = 100'000;
// Two results that differ by less differ by the rounding of sums.
constexpr double kSameNumber = 1e-12;

struct MovedInput {
  ScaledField field;
  double by = 0;
  bool is_stated = false;
  std::array<double, 2> at{};
};

class Moves {
 public:
  Moves(const SensitivityRequest& request, const ResultMetric& metric, bool balanced)
      : request_(request), metric_(metric), balanced_(balanced) {}

  // The metric with these changes; `as_it_is`: not with balanced routing.
  SensitivityEnd end(const Settings& changes, bool as_it_is) const {
    Settings settings = request_.settings;
    settings.insert(settings.end(), changes.begin(), changes.end());
    SensitivityEnd result;
    try {
      const JsonNode node =
          result_node(balanced_ && !as_it_is ? balanced_result(settings)
                                             : result_document(request_.scenario, settings, {}));
      result.metric = metric_.of(node);
      result.feasible = is_feasible(node);
      if (!result.metric) result.refusal = "the plan cannot be run";
    } catch (const InputError& error) {
      result.refusal = error.what();
    }
    return result;
  }

 private:
  JsonValue balanced_result(const Settings& settings) const {
    Scenario scenario = read_scenario(request_.scenario, settings);
    for (TrainingPhase& phase : scenario.phases) phase.routing.kind = RoutingKind::balanced;
    return run_json(scenario, run_scenario(scenario, {}), std::nullopt);
  }
  const SensitivityRequest& request_;
  const ResultMetric& metric_;
  bool balanced_;
};

bool is_of_routing(const std::string& pointer) {
  return (pointer + "/").find("/routing/") != std::string::npos;
}

std::vector<UncertainInput> stated_inputs(const JsonNode& document,
                                          const std::vector<ScaledField>& fields) {
  const JsonNode* uncertain = document.find("uncertain");
  if (uncertain == nullptr || uncertain->kind == JsonNode::Kind::null) return {};
  std::vector<UncertainInput> stated = read_uncertain_inputs(*uncertain);
  for (const UncertainInput& input : stated) {
    const bool known = std::any_of(fields.begin(), fields.end(), [&](const ScaledField& field) {
      return field.pointer == input.pointer;
    });
    if (known) continue;
    const JsonNode* node = node_at(document, input.pointer);
    throw InputError(
        input.place,
        in_quotes(input.pointer) +
            (node == nullptr ? " leads nowhere in the scenario"
                             : " is not a number that can be moved: " + node->describe()));
  }
  return stated;
}

// Nothing where both ends are the value itself.
std::optional<MovedInput> moved_input(ScaledField field,
                                      const std::vector<UncertainInput>& stated,
                                      double assumed) {
  MovedInput input;
  input.by = assumed;
  for (const UncertainInput& one : stated)
    if (one.pointer == field.pointer) {
      input.by = one.by;
      input.is_stated = true;
    }
  if (field.value == 0) return std::nullopt;
  if (field.possible(field.value * (1 - input.by)) == field.value ||
      field.possible(field.value * (1 + input.by)) == field.value)
    field.is_whole = false;  // the reader decides whether it takes a fraction
  input.field = std::move(field);
  input.at = {input.field.possible(input.field.value * (1 - input.by)),
              input.field.possible(input.field.value * (1 + input.by))};
  return input;
}

// Where the balanced step stands in for the run's own, its relative change counts.
double carried_over(double own, double base, double moved) {
  return base != 0 ? own * (moved / base) : own + (moved - base);
}

void set_range(double value, SensitivityRow& row) {
  row.lowest = row.highest = value;
  for (const SensitivityEnd& end : row.ends)
    if (end.metric) {
      row.lowest = std::min(row.lowest, *end.metric);
      row.highest = std::max(row.highest, *end.metric);
    }
}

// Between the ends that there are, in logarithms, so that a power law has its exponent.
void set_elasticity(const MovedInput& input, double value, SensitivityRow& row) {
  std::array<double, 2> in{input.field.value, input.field.value}, out{value, value};
  for (std::size_t side = 0; side < 2; ++side)
    if (row.ends[side].metric) {
      in[side] = input.at[side];
      out[side] = *row.ends[side].metric;
    }
  if (in[0] > 0 && in[1] > in[0] && out[0] > 0 && out[1] > 0)
    row.elasticity = std::log(out[1] / out[0]) / std::log(in[1] / in[0]);
}

SensitivityRow input_row(const MovedInput& input) {
  SensitivityRow row;
  row.name = input.field.pointer;
  row.value = input.field.text(input.field.value);
  row.by = input.by;
  row.basis = input.is_stated ? "scenario" : "assumed";
  for (std::size_t side = 0; side < 2; ++side)
    row.ends[side].input = input.field.text(input.at[side]);
  return row;
}

SensitivityRow calibration_row(const ResultEnd& end, const ResultMetric& metric, double value) {
  SensitivityRow row;
  row.name = end.source;
  row.is_calibration = true;
  row.by = end.half_width;
  row.basis = end.basis;
  for (std::size_t side = 0; side < 2; ++side) {
    row.ends[side] = {side == 0 ? "fast" : "slow",
                      metric.of(end.results[side]),
                      is_feasible(end.results[side]),
                      ""};
  }
  set_range(value, row);
  return row;
}

bool changes_metric(const SensitivityRow& row, double value) {
  return row.swing() > kSameNumber * std::abs(value);
}

std::string default_metric(const JsonNode& result) {
  for (const char* pointer :
       {"/metrics/step_time_s", "/metrics/tpot_s/mean", "/steps/0/step_time_s"})
    if (number_at(result, pointer)) return pointer;
  return "/metrics/step_time_s";
}

// A field that was tried with a fraction and is one of whole numbers stays where it is.
bool stays_whole(const MovedInput& input, const SensitivityRow& row, const JsonNode& document) {
  const JsonNode* node = node_at(document, input.field.pointer);
  return node != nullptr && node->kind == JsonNode::Kind::integer && !input.field.is_whole &&
         !row.ends[0].metric && !row.ends[1].metric;
}

}  // namespace

SensitivityResult sensitivity_of(const SensitivityRequest& request) {
  const auto tell = [&](const std::string& what) {
    if (request.progress) request.progress(what);
  };
  const JsonNode document = compose_document(request.scenario, request.settings);
  SensitivityResult result;
  const std::vector<ScaledField> fields = scaled_fields(document, result.lists);
  const std::vector<UncertainInput> stated = stated_inputs(document, fields);
  tell("the scenario and its calibration");
  const ResultWithEnds base =
      result_with_ends(request.scenario, request.settings, request.num_threads);
  if (result_metrics(base.result).empty())
    throw InputError(
        one_line(request.scenario.string()),
        "its plan cannot be run, so there is no number to move; `moesim run` says why");
  result.scenario = node_at(base.result, "/scenario/name")->text;
  result.hash = node_at(base.result, "/scenario/hash")->text;
  result.by = request.by;
  result.metric = find_metric(base.result,
                              request.metric.empty() ? default_metric(base.result) : request.metric,
                              "--metric");
  if (result.metric.name == "/metrics/step_time_s" || request.metric.empty())
    for (const ResultMetric& named : result_metrics(base.result))
      if (named.pointer == result.metric.pointer) result.metric = named;
  result.value = *result.metric.of(base.result);
  result.calibration = interval_of(base, result.metric);
  result.no_calibration = base.no_ends;
  for (const ResultEnd& end : base.ends) {
    SensitivityRow row = calibration_row(end, result.metric, result.value);
    if (changes_metric(row, result.value))
      result.rows.push_back(std::move(row));
    else
      result.without_effect.push_back(row.name);
  }

  std::vector<MovedInput> inputs;
  for (const ScaledField& field : fields) {
    if (std::optional<MovedInput> input = moved_input(field, stated, request.by))
      inputs.push_back(std::move(*input));
    else
      result.not_moved.push_back(field.pointer);
  }
  const JsonNode* folded = base.result.find("folded");
  result.from_balanced = folded != nullptr && !folded->boolean &&
                         number_at(base.result, "/num_events").value_or(0) > kMostRepeatedEvents;
  const Moves moves(request, result.metric, result.from_balanced);
  const std::optional<double> reference =
      result.from_balanced ? moves.end({}, false).metric : std::optional(result.value);
  ENSURE(reference);
  result.num_simulations = 2 * inputs.size();
  tell(std::to_string(result.num_simulations) + " simulations of " + std::to_string(inputs.size()) +
       " inputs");
  std::vector<SensitivityRow> rows;
  for (const MovedInput& input : inputs) rows.push_back(input_row(input));
  parallel_for(result.num_simulations, request.num_threads, [&](std::size_t i) {
    const MovedInput& input = inputs[i / 2];
    const bool as_it_is = is_of_routing(input.field.pointer);
    SensitivityEnd end =
        moves.end({{input.field.pointer, input.field.node(input.at[i % 2])}}, as_it_is);
    end.input = rows[i / 2].ends[i % 2].input;
    if (end.metric && !as_it_is) end.metric = carried_over(result.value, *reference, *end.metric);
    rows[i / 2].ends[i % 2] = std::move(end);
  });
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    SensitivityRow& row = rows[i];
    set_range(result.value, row);
    set_elasticity(inputs[i], result.value, row);
    if (stays_whole(inputs[i], row, document))
      result.not_moved.push_back(row.name);
    else if (!row.ends[0].metric && !row.ends[1].metric)
      result.refused.push_back(std::move(row));
    else if (changes_metric(row, result.value))
      result.rows.push_back(std::move(row));
    else
      result.without_effect.push_back(row.name);
  }
  std::stable_sort(
      result.rows.begin(), result.rows.end(), [](const SensitivityRow& a, const SensitivityRow& b) {
        return a.swing() > b.swing();
      });
  return result;
}

}  // namespace moesim
