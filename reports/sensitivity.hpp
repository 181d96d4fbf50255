// What a number of a result depends on: every input of the scenario and every source of error of
// its calibration is moved to both ends of its uncertainty, one at a time, and the effects are
// ranked.
//
// Calibration: the ends of sim/uncertainty, so that their effects, added in quadrature, are the
// interval that `moesim run` prints. Inputs: every number of the composed document (see
// reports/scaled_field for what is left out), moved by what the scenario's "uncertain" says of it,
// else by one assumed share for all. An end that the scenario's readers refuse, because a plan
// would not fit the cluster or a share would pass 1, is told and not counted. A whole number that
// the share does not move by one is tried with its fraction; where only whole numbers are accepted
// it stays: degrees, levels, counts of a few.
//
// Method. The whole run is simulated again for each end. A large step of many different ranks is
// repeated with balanced routing, as sim/uncertainty does, and its relative change taken; inputs
// below a "routing" are always simulated as they are.
//
// Left out: effects of two inputs together, and of inputs beyond their ends.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "reports/report.hpp"
#include "reports/result_ends.hpp"
#include "reports/scaled_field.hpp"

namespace moesim {

struct SensitivityRequest {
  std::filesystem::path scenario;
  Settings settings;
  std::string metric;  // empty: the step time of training, the mean TPOT or first step of serving
  double by = 0.1;     // of inputs whose uncertainty nobody states
  int num_threads = 1;
  std::function<void(const std::string&)> progress;
};

struct SensitivityEnd {
  std::string input;             // "45 GB/s"; "fast" and "slow" of calibration
  std::optional<double> metric;  // none: refused
  bool feasible = true;
  std::string refusal;
};

struct SensitivityRow {
  std::string name;   // a pointer, or a source of error
  std::string value;  // "50 GB/s"; empty of calibration
  bool is_calibration = false;
  std::optional<double> by;  // a fraction; none where the kernels of a source have one each
  std::string basis;         // held_out, in_sample, stated, roofline; "scenario"; "assumed"
  std::array<SensitivityEnd, 2> ends;  // low and high; of calibration fast and slow
  std::optional<double> elasticity;  // change of the metric over change of the input, both relative
  double lowest = 0, highest = 0;    // of the metric, the scenario's own value included
  double swing() const { return highest - lowest; }
};

struct SensitivityResult {
  std::string scenario, hash;
  ResultMetric metric;
  double value = 0;
  double by = 0;
  std::vector<SensitivityRow> rows;         // that change the metric, largest swing first
  std::vector<std::string> without_effect;  // moved, same number
  std::vector<SensitivityRow> refused;      // at both ends
  std::vector<std::string> not_moved;       // zeros, and whole numbers that the share does not move
  std::vector<std::string> lists;           // of bare numbers
  std::optional<Interval> calibration;      // all its sources together
  std::string no_calibration;               // why there is none
  bool from_balanced = false;
  std::size_t num_simulations = 0;  // of inputs
};

// InputError where the scenario has no such metric, or a stated uncertainty leads nowhere.
SensitivityResult sensitivity_of(const SensitivityRequest& request);

Report sensitivity_report(const SensitivityResult& result, std::size_t top);
JsonValue sensitivity_json(const SensitivityResult& result);

}  // namespace moesim
