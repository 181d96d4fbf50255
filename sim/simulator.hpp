// What happens when it all competes: one training step, event by event.
//
// Each rank owns a compute stream and a communication stream, both first in, first out. A compute
// operation runs for its block's duration; dispatch and combine start when the last rank of the
// expert-parallel group arrives and end on each rank after that rank's own transfer; a send
// delivers to the neighbour when it ends. Only synchronisation points are events. After its last
// step a rank waits for the ranks that share its parameters, reduces gradients, waits for the
// global gradient norm, updates and gathers weights.
//
// Folding: ranks of a stage that are identical by the scenario (balanced routing) may be simulated
// once; the result is the same to the tick (tests/unit/test_simulator.cpp).
//
// Gradients and weights that travel beside chunks share the NIC with the communication stream
// (sim/data_parallel_traffic).
//
// Left out: other contention between the transfers of different groups and between sends and
// dispatches of the same NIC than by the order of the communication stream; a receive costs the
// receiver no stream time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/scenario.hpp"
#include "sim/critical_path.hpp"
#include "sim/schedule/schedule.hpp"
#include "sim/stage_costs.hpp"
#include "sim/timeline.hpp"

namespace moesim {

struct SimulationOptions {
  bool allow_folding = true;
  int num_threads = 1;
  std::vector<std::int64_t> timeline_ranks;  // ranks whose every operation is recorded
  bool explain = false;  // also find the critical path; 40 bytes an operation of the step
};

// Seconds of the gradient and optimizer phase, per pipeline rank.
struct OptimizerTimes {
  Seconds reduce_gradients, gradient_norm, update, gather_weights;
  Seconds total() const { return reduce_gradients + gradient_norm + update + gather_weights; }
};

// A step of a rank's list, from the start of its first compute operation to the end of its last.
struct StepTime {
  Tick start = 0, end = 0;
};

struct StepResult {
  Timeline timeline;
  std::vector<std::vector<StepTime>> step_times;  // [pp][step] of the first rank of each stage
  std::vector<OptimizerTimes> optimizer;          // [pp]
  bool folded = false;
  std::int64_t num_simulated_ranks = 0;
  std::uint64_t num_events = 0;
  // From routing and costs, for the report.
  RankLoad mean_load;  // of an average rank in a MoE layer
  double nodes_per_token = 0, ranks_per_token = 0, max_over_mean_rows = 1;
  double popularity_residual = 0;  // largest miss of a wanted relative load, over all layers
  NetworkContention contention;
  std::optional<CriticalPath> critical_path;  // when asked for
};

// True when the scenario makes the ranks of a stage identical.
bool ranks_are_identical(const ModelSpec& model, const TrainingPhase& phase);

// What the phase asks of its schedule.
PipelineRun pipeline_run(const TrainingPhase& phase);

// "" or why the schedule cannot run this phase.
std::string schedule_refusal(const TrainingPhase& phase);

StepResult simulate_step(const Scenario& scenario,
                         const TrainingPhase& phase,
                         const CostModel& model,
                         const SimulationOptions& options);
// The same with the phase's costs at hand; its schedule can run it.
StepResult simulate_step(const Scenario& scenario,
                         const TrainingPhase& phase,
                         const CostModel& model,
                         const StageCosts& costs,
                         const SimulationOptions& options);

}  // namespace moesim
