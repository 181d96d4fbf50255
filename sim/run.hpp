// Every stage, in order. A scenario is read (model/scenario), then for each phase of the run:
// the step is simulated, memory is counted, the step is measured; then hours and dollars are added
// up. reports/ turns the result into text.
#pragma once

#include <functional>
#include <string>

#include "sim/metrics.hpp"

namespace moesim {

struct RunOptions {
  SimulationOptions simulation;
  bool main_phase_only = false;  // skip batch ramp, context extension and stated phases
  bool advise_memory = false;    // find what would make room where a phase does not fit
  std::function<void(const std::string&)>
      progress;  // told the name of each phase before it is simulated
};

RunResult run_scenario(const Scenario& scenario, const RunOptions& options);

// Hours and dollars of the phases as they stand, and what interrupts them.
void add_up(const Scenario& scenario, RunResult& run);

}  // namespace moesim
