// The inverse question: which value of one field makes bounds on a result hold? The bracket is
// sampled first, at values equally far apart in ratio, which shows whether the answer changes once,
// never, or several times; every change is then narrowed down to a stated precision.
//
// Rounds of a fixed number of points are simulated side by side, so that the number of threads
// changes nothing. Nothing is assumed of the metric: where it rises and falls, both changes are
// given, and between two sampled values of one side another change may hide unseen. A value that
// the scenario's readers refuse, and a plan that does not fit, do not hold.
//
// Left out: the bounds of calibration (the answer is that of the simulation's own number), and more
// than one field at a time (`moesim sweep` does that).
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "reports/metric.hpp"
#include "reports/report.hpp"
#include "reports/scaled_field.hpp"

namespace moesim {

struct SolvePoint {
  double at = 0;
  bool holds = false;
  std::string refusal;                        // why there is no number: "" where there is one
  std::vector<std::optional<double>> values;  // [bounds]
  std::optional<std::size_t> fails_first;     // the bound with the least margin of those that fail
};

// Two neighbouring values of which one holds.
struct SolveCrossing {
  SolvePoint below, above;
  bool holds_above() const { return above.holds; }
  const SolvePoint& holding() const { return above.holds ? above : below; }
  const SolvePoint& failing() const { return above.holds ? below : above; }
};

struct SolveSearch {
  ScaledField field;
  double low = 0, high = 0;  // low < high, as possible values
  double precision = 1e-3;   // of the answer, relative; whole numbers are found exactly
  int num_threads = 1;
};

struct Solution {
  std::vector<SolvePoint> points;        // all that were simulated, by value
  std::vector<SolveCrossing> crossings;  // by value
};

// `evaluate` is called from several threads at once.
Solution solve(const SolveSearch& search, const std::function<SolvePoint(double)>& evaluate);

struct SolveRequest {
  std::filesystem::path scenario;
  Settings settings;
  std::string field, bounds;
  std::optional<std::string> from, to;  // without them a sixteenth of the own value and 16 times it
  double precision = 1e-3;
  int num_threads = 1;
  std::function<void(const std::string&)> progress;
};

struct SolveAnswer {
  std::string scenario, hash;
  SolveSearch search;
  std::vector<MetricBound> bounds;
  std::optional<SolvePoint> own;  // at the scenario's value, where it has one
  Solution solution;
  std::vector<std::string> contradictions;  // metrics that do not rise or fall throughout
  bool first_phase_only = false;            // the bounds are on what the first phase decides
};

// InputError for a field, a bound or a bracket that makes no sense, and where no value of the
// bracket can be read.
SolveAnswer solve_scenario(const SolveRequest& request);

bool never_holds(const SolveAnswer& answer);
Report solve_report(const SolveAnswer& answer);
JsonValue solve_json(const SolveAnswer& answer);

}  // namespace moesim
