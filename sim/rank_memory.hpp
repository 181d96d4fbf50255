// What each pipeline rank holds in a phase, at the worst moment of its schedule and over the step.
#pragma once

#include <vector>

#include "model/scenario.hpp"
#include "model/training_memory.hpp"
#include "sim/simulator.hpp"

namespace moesim {

// Activations that one chunk of each part of a pipeline rank leaves for its backward pass: [part].
std::vector<double> activation_bytes_of_parts(const Scenario& scenario,
                                              const TrainingPhase& phase,
                                              const RankLoad& load,
                                              std::int64_t pp_rank);

// [pp]. `load`: what an average rank gets in a MoE layer.
std::vector<RankMemory> memory_of(const Scenario& scenario,
                                  const TrainingPhase& phase,
                                  const RankLoad& load);

// The load of an average rank, from the routing alone.
RankLoad mean_load(const Scenario& scenario, const TrainingPhase& phase);

// A rank's memory from `at` to the next point. A chunk's activations are there from the start of
// its forward step to the end of its backward (of its weight step, where that is separate); all
// else is constant. Left out: the rise within a forward step and the fall within a backward one.
struct MemoryPoint {
  Tick at = 0;
  Bytes bytes;
};
struct MemoryCurve {
  std::int64_t pp_rank = 0;
  std::vector<MemoryPoint> points;
  MemoryPoint peak;           // the first moment of the most; RankMemory::total()
  std::size_t peak_step = 0;  // of the rank's list, during which that is
  ScheduleStep peak_of;       // that step
};
// times: of each step of the list.
MemoryCurve memory_curve(const RankMemory& memory,
                         const std::vector<ScheduleStep>& steps,
                         const std::vector<StepTime>& times,
                         const std::vector<double>& bytes_of_part);
// [pp], of a simulated step.
std::vector<MemoryCurve> memory_curves(const Scenario& scenario,
                                       const TrainingPhase& phase,
                                       const std::vector<RankMemory>& memory,
                                       const StepResult& step);

// At most `most` points: of each run of neighbours the largest, at its own time. most >= 1.
std::vector<MemoryPoint> thinned(const std::vector<MemoryPoint>& points, std::size_t most);

}  // namespace moesim
