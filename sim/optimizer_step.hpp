// Seconds of the phase after the last chunk: gradient reduction, norm, update, weight gathering
// (see the .cpp).
#pragma once

#include <vector>

#include "sim/simulator.hpp"

namespace moesim {

std::vector<OptimizerTimes> optimizer_times(const Scenario& scenario,
                                            const TrainingPhase& phase,
                                            const CostModel& model,
                                            const NetworkContention& contention);  // [pp]

// Ends every rank's step: ranks that hold the same parameters wait for each other and reduce; all
// wait for the norm; each updates and gathers. `chunk_end`: when each rank finished its last chunk.
// Sets the step and completes each rank's times; waiting counts as bubble.
void end_step(const ParallelPlan& plan,
              const std::vector<OptimizerTimes>& optimizer,
              const std::vector<Tick>& chunk_end,
              std::int64_t ranks_per_stage,
              Timeline& timeline);

}  // namespace moesim
