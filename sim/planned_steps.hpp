// The schedule's list of steps of every pipeline rank, each with the program it runs.
#pragma once

#include <memory>
#include <vector>

#include "sim/stage_costs.hpp"
#include "sim/step_program.hpp"

namespace moesim {

// One step of one pipeline rank, ready to run.
struct PlannedStep {
  const StepProgram* program;
  ScheduleStep step;
};

class PlannedSteps {
 public:
  // `stages`: layers of each stage.
  PlannedSteps(const ParallelPlan& plan,
               const PipelineRun& run,
               const std::vector<std::vector<LayerKind>>& stages,
               bool expert_parallel);
  const std::vector<PlannedStep>& of(std::int64_t pp_rank) const {
    return steps_[static_cast<std::size_t>(pp_rank)];
  }

 private:
  std::vector<std::unique_ptr<StepProgram>> programs_;
  std::vector<std::vector<PlannedStep>> steps_;  // [pp]
};

}  // namespace moesim
