// Formulas of known figures about interrupted runs. The failure rates and the number of planned
// pauses are those of the scenario's operations, for a cluster of `gpus` GPUs in nodes of
// `gpus_per_node`; nothing else of the scenario counts. Their lines are in the table in
// formulas.cpp.
#pragma once

#include "reports/formulas.hpp"

namespace moesim {

// Failures in `days` of exposure. With the size and period that the rates were observed on it gives
// back the number of failures observed.
double failures_in(const FormulaInputs& in, const Scenario& scenario);

// Effective training time ratio of a run of `days` of steps: `detection_s`, then `restart_s` with
// the load of the checkpoint; training stops `pause_s` for a checkpoint and may go back to it
// `write_s` later; checkpoints as often as is best, planned pauses of `planned_pause_s`.
double effective_time_ratio(const FormulaInputs& in, const Scenario& scenario);

}  // namespace moesim
