#include "sim/planned_steps.hpp"

#include <map>
#include <tuple>

namespace moesim {
namespace {

// What a step of this rank works on, and whom it hears from and tells.
StepContext context_of(const PipelineLayout& layout,
                       const std::vector<std::vector<LayerKind>>& stages,
                       std::int64_t rank,
                       const ScheduleStep& step) {
  StepContext c;
  const bool has_f = step.kind == StepKind::forward || step.kind == StepKind::forward_backward;
  const bool has_b = step.kind != StepKind::forward;
  const PipelineLayout::Place f{rank, step.f.part}, b{rank, step.b.part};
  // A neighbour on the same rank needs no message: the order of its steps is enough.
  auto elsewhere = [rank](const std::optional<PipelineLayout::Place>& place) {
    return place && place->rank != rank;
  };
  auto layers_at = [&](const PipelineLayout::Place& place) {
    return &stages[static_cast<std::size_t>(layout.stage_of(rank, place.part))];
  };
  if (has_f) {
    c.f_layers = layers_at(f);
    c.receive_f = elsewhere(layout.previous(f));
    c.send_f = elsewhere(layout.next(f));
  }
  if (has_b) {
    c.b_layers = layers_at(b);
    c.receive_b = elsewhere(layout.next(b));
    c.send_b = elsewhere(layout.previous(b));
  }
  return c;
}

}  // namespace

PlannedSteps::PlannedSteps(const ParallelPlan& plan,
                           const PipelineRun& run,
                           const std::vector<std::vector<LayerKind>>& stages,
                           bool expert_parallel) {
  const Schedule& schedule = schedule_of(plan.schedule);
  const PipelineLayout layout = plan.layout();
  std::map<std::tuple<std::int64_t, StepKind, int, int>, const StepProgram*> known;
  steps_.resize(static_cast<std::size_t>(plan.pp));
  for (std::int64_t rank = 0; rank < plan.pp; ++rank)
    for (const ScheduleStep& step : schedule.steps(run, rank)) {
      const StepProgram*& program = known[{rank, step.kind, step.f.part, step.b.part}];
      if (program == nullptr) {
        StepContext context = context_of(layout, stages, rank, step);
        context.expert_parallel = expert_parallel;
        context.recompute_layers = plan.recompute.whole_layer;
        context.overlap_order = plan.overlap_order;
        programs_.push_back(std::make_unique<StepProgram>(build_step_program(step.kind, context)));
        program = programs_.back().get();
      }
      steps_[static_cast<std::size_t>(rank)].push_back({program, step});
    }
}

}  // namespace moesim
