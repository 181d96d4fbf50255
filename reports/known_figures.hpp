// Known figures: what was published or measured, next to what this program predicts. One JSON file
// a source row in scenarios/published/ (quoted) or scenarios/measured/ (ours); adding a figure
// touches no code.
//
// A figure says where its prediction comes from:
//   {"scenario": "x.jsonc", "value": "/metrics/step_time_s"}   a value of the document `moesim run
//   --json` prints; "set": {"/plan/dp": 64} beside it changes fields, as --set does, so that what
//   nobody published can be shown as a band. "over": {"set": {...}} divides by the same value of
//   the scenario with these changes instead ("value" beside it: by that one); with "gain": true one
//   is subtracted from the quotient
//   {"model": "models/x.json", "value": "/parameters/total"}   a value of the document `moesim
//   model --json` prints
//     ("value" may also be {"/a": 2, "/b": -1}: a weighted sum of values); "over": {"model": ...}
//     divides by the same value of another model
//   {"input": "models/x.json", "value": "/vocab_size"}         a number that a shipped input states
//   {"formula": "schedule_bubble", "inputs": {...}}            one line of the table in
//   formulas.cpp; inputs are numbers and names
//   {"unpredicted": "why"}                                     listed without a prediction
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/json_reader.hpp"
#include "model/json_writer.hpp"
#include "model/scenario.hpp"
#include "sim/serving/serving_uncertainty.hpp"
#include "sim/uncertainty.hpp"

namespace moesim {

enum class FigureRole { definition, fit, held_out };
const char* role_name(FigureRole role);

struct KnownFigure {
  std::string id;  // row id, or row id and a suffix: "T07.bubble"
  std::string quantity, unit, source;
  double known = 0;
  FigureRole role = FigureRole::held_out;
  double tolerance_pct = 0;
  std::string note;     // why it misses, in one sentence; may be empty
  std::string part_of;  // id of a figure this one is an additive part of; may be empty
  // where the prediction comes from
  std::string scenario, model, input, formula, unpredicted;
  Settings settings;                      // changes of the scenario
  std::optional<Settings> over;           // those of the run that the value is divided by
  std::optional<std::string> over_value;  // the value there, when it is another
  std::string over_model;                 // the model that a model's value is divided by
  bool is_gain = false;                   // quotient less one
  std::vector<std::pair<std::string, double>> terms;  // pointer, weight
  std::map<std::string, double> inputs;
  std::map<std::string, std::string> named_inputs;
  double scale = 1;  // prediction in SI units times scale = prediction in `unit`
  std::string file;  // for messages
};

struct KnownRow {
  KnownFigure figure;
  std::optional<double> predicted;   // in the figure's unit
  std::optional<Interval> interval;  // of the prediction, 90 %; none where no profile is in it
  std::optional<double> error_pct;
  bool within_tolerance = true;
};

// Reads "from" into the figure. For whoever else says where a number comes from (claims.hpp).
void read_origin(ObjectReader& reader, KnownFigure& figure);
// What a shipped input states at a JSON pointer; `place` is who asks, for messages.
JsonNode input_value(const std::filesystem::path& file,
                     const std::string& pointer,
                     const std::string& place);

// A file of published/ with rows of another kind: what is said of the models (claims.hpp).
inline constexpr const char* kClaimsFile = "claims.json";

// All figures below `folder`/published and `folder`/measured, ordered by file name and position.
std::vector<KnownFigure> read_known_figures(const std::filesystem::path& folder);

// Evaluates figures; each scenario is simulated once, and once more at both ends of every source of
// error (sim/uncertainty), on `num_threads` threads.
class FigureEvaluator {
 public:
  FigureEvaluator(std::filesystem::path scenario_folder, int num_threads);
  KnownRow evaluate(const KnownFigure& figure);
  // The folder's figures that are values of this scenario as it is, and need no run of another.
  std::vector<KnownRow> rows_about(const std::string& scenario);
  // Gives the evaluator a run it need not repeat: of a scenario without changes, by its file name.
  void add_run(const std::string& key,
               const Scenario& scenario,
               const RunResult& run,
               const std::optional<Uncertainty>& uncertainty);
  void add_run(const std::string& key,
               const ServingScenario& scenario,
               const ServingRun& run,
               const std::optional<ServingUncertainty>& uncertainty);

 private:
  template <class T>
  struct WithEnds {
    T base;
    std::vector<std::array<T, 2>> ends;  // [source][fast, slow]
  };
  const WithEnds<Scenario>& scenario_of(const std::string& scenario, const Settings& settings);
  const WithEnds<JsonValue>& run_of(const std::string& scenario, const Settings& settings);
  const JsonValue& model_of(const std::string& model);
  std::filesystem::path folder_;
  int num_threads_;
  std::map<std::string, WithEnds<Scenario>> scenarios_;  // by run_key
  std::map<std::string, WithEnds<JsonValue>> runs_;
  std::map<std::string, JsonValue> models_;
};

}  // namespace moesim
