// Gradients, optimizer and weights after the last chunk.
//
// FP32 (or BF16) gradients are reduced over the ranks that hold the same parameters, all ranks add
// up the gradients' norm, each rank updates the master weights and moments that it keeps (under
// ZeRO 0 all of them, else its shard), and BF16 weights are gathered (sim/parameter_traffic).
// What the plan lets travel beside the chunks of this step or of the next one is not here: of
// gradients only what is left of them when the last chunk ends.
#pragma once

#include <vector>

#include "sim/simulator.hpp"

namespace moesim {

// Gradients are handed over as layers finish, or after every microbatch.
bool reduces_beside_chunks(const ParallelPlan& plan);
// Weights are gathered at the end of the step; else never, or when they are needed.
bool gathers_after_update(const ParallelPlan& plan);

std::vector<OptimizerTimes> optimizer_times(const Scenario& scenario,
                                            const TrainingPhase& phase,
                                            const CostModel& model,
                                            const NetworkContention& contention);  // [pp]

// When a rank finished its last chunk, and when what travelled beside its chunks had arrived (0:
// nothing did).
struct RankEnd {
  Tick chunks = 0, traffic = 0;
};

// Ends every rank's step: ranks that hold the same parameters wait for each other and reduce; all
// wait for the norm; each updates and gathers. Sets the step and completes each rank's times;
// waiting counts as bubble.
void end_step(const ParallelPlan& plan,
              const std::vector<OptimizerTimes>& optimizer,
              const std::vector<RankEnd>& ends,
              std::int64_t ranks_per_stage,
              Timeline& timeline);

}  // namespace moesim
