// What interrupts the run, in the document of `moesim run --json` (docs/run-json.md).
#pragma once

#include <optional>

#include "model/json_writer.hpp"
#include "sim/run.hpp"
#include "sim/uncertainty.hpp"

namespace moesim {

// The run has operations.
JsonValue operations_json(const Scenario& scenario,
                          const RunResult& run,
                          const std::optional<Uncertainty>& uncertainty);

// Adds the intervals of kRunNumbers to those of the other metrics, where runs were sampled.
void add_operations_intervals(const Scenario& scenario,
                              const RunResult& run,
                              const std::optional<Uncertainty>& uncertainty,
                              JsonValue& intervals);

}  // namespace moesim
