// Seconds of the phase after the last chunk: gradient reduction, norm, update, weight gathering (see the .cpp).
#pragma once

#include <vector>

#include "sim/simulator.hpp"

namespace moesim {

std::vector<OptimizerTimes> optimizer_times(const Scenario& scenario, const TrainingPhase& phase, const CostModel& model);  // [pp]

}  // namespace moesim
