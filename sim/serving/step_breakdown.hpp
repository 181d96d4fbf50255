// Where a step's time goes on its slowest path, evaluated without tables.
#pragma once

#include <span>

#include "sim/serving/step_composition.hpp"

namespace moesim {

StepBreakdown step_breakdown(const StepComposition& composition, std::span<const RankBatch> ranks);

}  // namespace moesim
