// Two results next to each other: by how much their numbers differ, whether that is more than the
// calibration may be wrong by, of which parts the difference consists, which inputs differ, and
// what each of them does alone.
//
// A side is a scenario, which is simulated here, or a file that `moesim run --json` wrote. Of two
// scenarios with one profile the errors are common: each source is moved in both at once and the
// ratio of the ends is taken, so that what is wrong with both alike cancels. Otherwise the errors
// are taken to be independent, which is cautious: that a difference lies within them does not show
// that there is none.
//
// Parts are those whose sum is the number they are about: of a step its categories and its schedule
// phases, of GPU hours the phases of the run, of memory what the fullest rank holds, of a mean
// request its queue, its prompt and its output.
//
// What changed and why: each difference of the inputs is applied to A alone; what is left of the
// whole difference is their interaction. Of result files inputs are not known, only their hash.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reports/report.hpp"
#include "reports/result_ends.hpp"

namespace moesim {

// Of one number: B's over A's, with what the calibration may be wrong by.
struct MetricDifference {
  std::string name;
  double a = 0, b = 0;
  std::optional<double> ratio;             // none where A's is 0
  std::optional<Interval> ratio_interval;  // 90 %
};

// A number as a sum.
struct DifferenceParts {
  std::string title, metric;  // "Step, by what it waits for", "step_time_s"
  struct Part {
    std::string name;
    double a = 0, b = 0;
  };
  std::vector<Part> parts;
  double total_a = 0, total_b = 0;  // the number itself
};

struct InputDifference {
  std::string pointer, a, b;  // texts; "" where a side leaves it out
  JsonNode value;             // B's; null where B leaves it out
};

// Some of B's inputs in A.
struct FieldEffect {
  std::vector<std::string> pointers;
  std::optional<double> metric;
  std::string refusal;
};

struct ComparisonSide {
  std::string name, hash, profile;
  bool is_scenario = false, is_training = true, is_feasible = true;
};

struct ResultComparison {
  std::array<ComparisonSide, 2> sides;
  bool paired = false;  // common errors cancel
  std::string no_intervals;
  std::vector<MetricDifference> differences;  // headline first
  std::vector<std::string> same;
  std::vector<DifferenceParts> parts;
  bool inputs_known = false;
  std::vector<InputDifference> inputs;
  std::string effect_metric;  // of what the effects are about; empty: not looked at
  double effect_a = 0, effect_b = 0;
  std::vector<FieldEffect> effects;
  std::string no_effects;  // why there are none
};

struct ComparisonRequest {
  std::array<std::filesystem::path, 2> paths;
  std::array<Settings, 2> settings;
  std::string metric;          // of the effects; empty: the step time, or a latency
  bool one_at_a_time = false;  // also where many inputs differ
  int num_threads = 1;
  std::function<void(const std::string&)> progress;
};

// InputError for results of different kinds or of another version, and for files that are neither.
ResultComparison compare_results(const ComparisonRequest& request);

// Inputs that differ, by the pointers of what is best changed as one.
std::vector<InputDifference> input_differences(const JsonNode& a, const JsonNode& b);
std::vector<DifferenceParts> difference_parts(const JsonNode& a, const JsonNode& b);

Report comparison_report(const ResultComparison& comparison);
JsonValue comparison_json(const ResultComparison& comparison);

}  // namespace moesim
