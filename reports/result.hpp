// The result of a scenario file as a document, whatever kind of scenario it is, and its numbers by
// the names that people use. What sweeps, comparisons, sensitivities and inverse questions stand
// on.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/json_writer.hpp"
#include "model/settings.hpp"

namespace moesim {

struct ResultOptions {
  int num_threads = 1;
  bool main_phase_only = false;  // of training
  bool intervals = false;        // 90 %: the run again, twice for every source of error
};

// What `moesim run --json` prints. An InputError where the scenario cannot be read; an infeasible
// plan is a result.
JsonValue result_document(const std::filesystem::path& scenario,
                          const Settings& settings,
                          const ResultOptions& options);

struct NamedNumber {
  std::string name;  // what follows /metrics: "step_time_s", "ttft_s/p99"
  double value = 0;
};
// All numbers below /metrics, in the document's order.
std::vector<NamedNumber> metrics_of(const JsonValue& document);

}  // namespace moesim
