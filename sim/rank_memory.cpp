#include "sim/rank_memory.hpp"

#include <algorithm>

#include "sim/stage_costs.hpp"

namespace moesim {

std::vector<double> activation_bytes_of_parts(const Scenario& scenario,
                                              const TrainingPhase& phase,
                                              const RankLoad& load,
                                              std::int64_t pp_rank) {
  const ParallelPlan& plan = phase.plan;
  const ChunkShape shape = chunk_shape(scenario.model, plan, phase.seq_len);
  const PipelineLayout layout = plan.layout();
  const auto layers = stage_layers(plan, scenario.model);
  std::vector<double> of_part;
  for (std::int64_t part = 0; part < layout.num_parts; ++part) {
    const auto stage = static_cast<std::size_t>(layout.stage_of(pp_rank, part));
    of_part.push_back(chunk_activation_bytes(scenario.model, layers[stage], shape, load).in(B));
  }
  return of_part;
}

std::vector<RankMemory> memory_of(const Scenario& scenario,
                                  const TrainingPhase& phase,
                                  const RankLoad& load) {
  const ParallelPlan& plan = phase.plan;
  const ChunkShape shape = chunk_shape(scenario.model, plan, phase.seq_len);
  const PipelineLayout layout = plan.layout();
  std::vector<RankMemory> memory;
  for (std::int64_t rank = 0; rank < plan.pp; ++rank) {
    const double alive = peak_alive(schedule_of(plan.schedule).steps(pipeline_run(phase), rank),
                                    activation_bytes_of_parts(scenario, phase, load, rank));
    memory.push_back(training_memory(
        scenario.model, plan, shape, load, rank, layout.stages_of(rank), alive * B));
  }
  return memory;
}

RankLoad mean_load(const Scenario& scenario, const TrainingPhase& phase) {
  if (!scenario.model.moe) return {};
  const ChunkShape shape = chunk_shape(scenario.model, phase.plan, phase.seq_len);
  return RoutingSampler(routing_problem(scenario, phase), 1).balanced(shape.tokens).load;
}

MemoryCurve memory_curve(const RankMemory& memory,
                         const std::vector<ScheduleStep>& steps,
                         const std::vector<StepTime>& times,
                         const std::vector<double>& bytes_of_part) {
  ENSURE(steps.size() == times.size());
  Bytes most_alive;
  for (const MemoryPart& part : memory.parts)
    if (part.key == "activations_bytes") most_alive = part.bytes;
  MemoryCurve curve;
  curve.pp_rank = memory.pp_rank;
  double alive = 0, peak = -1;
  auto add_point = [&](Tick at) {
    curve.points.push_back({at, memory.total() - (most_alive - alive * B)});
  };
  add_point(0);
  // The rule of peak_alive, with times.
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const ScheduleStep& step = steps[i];
    const bool starts = step.kind == StepKind::forward || step.kind == StepKind::forward_backward;
    const bool ends = step.kind == StepKind::backward || step.kind == StepKind::weight ||
                      step.kind == StepKind::forward_backward;
    if (starts) {
      alive += bytes_of_part[static_cast<std::size_t>(step.f.part)];
      add_point(times[i].start);
    }
    if (alive > peak) {
      peak = alive;
      curve.peak = {times[i].start, curve.points.back().bytes};
      curve.peak_step = i;
      curve.peak_of = step;
    }
    if (ends) {
      alive -= bytes_of_part[static_cast<std::size_t>(step.b.part)];
      add_point(times[i].end);
    }
  }
  return curve;
}

std::vector<MemoryCurve> memory_curves(const Scenario& scenario,
                                       const TrainingPhase& phase,
                                       const std::vector<RankMemory>& memory,
                                       const StepResult& step) {
  const Schedule& schedule = schedule_of(phase.plan.schedule);
  std::vector<MemoryCurve> curves;
  for (const RankMemory& rank : memory)
    curves.push_back(
        memory_curve(rank,
                     schedule.steps(pipeline_run(phase), rank.pp_rank),
                     step.step_times[static_cast<std::size_t>(rank.pp_rank)],
                     activation_bytes_of_parts(scenario, phase, step.mean_load, rank.pp_rank)));
  return curves;
}

std::vector<MemoryPoint> thinned(const std::vector<MemoryPoint>& points, std::size_t most) {
  ENSURE(most >= 1);
  const std::size_t run = (points.size() + most - 1) / most;
  std::vector<MemoryPoint> kept;
  for (std::size_t i = 0; i < points.size(); i += run)
    kept.push_back(*std::max_element(
        points.begin() + static_cast<std::ptrdiff_t>(i),
        points.begin() + static_cast<std::ptrdiff_t>(std::min(points.size(), i + run)),
        [](const MemoryPoint& a, const MemoryPoint& b) { return a.bytes < b.bytes; }));
  return kept;
}

}  // namespace moesim
