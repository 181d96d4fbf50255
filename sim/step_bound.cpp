#include "sim/step_bound.hpp"

#include <algorithm>
#include <map>
#include <optional>

#include "sim/optimizer_step.hpp"
#include "sim/planned_steps.hpp"
#include "sim/simulator.hpp"

namespace moesim {
namespace {

// From the start of a step that nothing delays.
struct ProgramTimes {
  Tick compute = 0, all = 0;           // until the compute stream ends; until both do
  std::optional<Tick> send_f, send_b;  // until a message has arrived
};

class ProgramClock {
 public:
  explicit ProgramClock(const StageCosts& costs) : costs_(costs) {
    for (std::size_t st = 0; st < costs.stages().size() && !load_; ++st) {
      const auto& layers = costs.stages()[st];
      if (std::find(layers.begin(), layers.end(), LayerKind::moe) != layers.end())
        load_ = costs.load(static_cast<std::int64_t>(st), 0, 0, 0);
    }
  }

  ProgramTimes times(const StepProgram& program) const {
    std::vector<Tick> compute, comm;  // ends
    ProgramTimes times;
    while (compute.size() < program.compute.size() || comm.size() < program.comm.size()) {
      bool went_on = false;
      if (compute.size() < program.compute.size()) {
        const ComputeOp& op = program.compute[compute.size()];
        if (static_cast<std::size_t>(op.wait_comm) <= comm.size()) {
          compute.push_back(std::max(end_of(compute, compute.size()), end_of(comm, op.wait_comm)) +
                            duration(program, op));
          went_on = true;
        }
      }
      if (comm.size() < program.comm.size()) {
        const CommOp& op = program.comm[comm.size()];
        // Else it could start before the step does, and the steps would not be independent.
        ENSURE(op.wait_compute >= 1);
        if (static_cast<std::size_t>(op.wait_compute) <= compute.size()) {
          const Tick end = std::max(end_of(comm, comm.size()), end_of(compute, op.wait_compute)) +
                           duration(program, op);
          comm.push_back(end);
          if (op.kind == CommKind::send_f) times.send_f = end;
          if (op.kind == CommKind::send_b) times.send_b = end;
          went_on = true;
        }
      }
      ENSURE(went_on);
    }
    times.compute = end_of(compute, compute.size());
    times.all = std::max(times.compute, end_of(comm, comm.size()));
    return times;
  }

 private:
  // Of the first `count` operations of a stream.
  template <class Count>
  static Tick end_of(const std::vector<Tick>& ends, Count count) {
    return count == 0 ? 0 : ends[static_cast<std::size_t>(count) - 1];
  }
  Tick duration(const StepProgram& program, const ComputeOp& op) const {
    if (op.kind == ComputeKind::startup) return costs_.startup_ticks();
    if (op.kind == ComputeKind::tail) return 0;
    const std::uint32_t load_class = op.moe_index >= 0 ? load_->load_class : 0;
    return costs_.blocks()[costs_.block_index(op.layer, op.block, load_class, program.overlapped)]
        .duration;
  }
  Tick duration(const StepProgram& program, const CommOp& op) const {
    switch (op.kind) {
      case CommKind::send_f:
      case CommKind::send_b: return costs_.send_ticks();
      case CommKind::dispatch_f:
      case CommKind::dispatch_r: return costs_.dispatch_ticks(*load_, program.overlapped, false);
      case CommKind::combine_b: return costs_.dispatch_ticks(*load_, program.overlapped, true);
      case CommKind::combine_f:
      case CommKind::dispatch_b: return costs_.combine_ticks(*load_, program.overlapped);
    }
    throw std::logic_error("communication without a duration");
  }

  const StageCosts& costs_;
  std::optional<LayerLoad> load_;  // of every MoE layer
};

// The longest path over the steps of all ranks.
class PipelinePath {
 public:
  PipelinePath(const PlannedSteps& steps, const StageCosts& costs, const PipelineLayout& layout)
      : steps_(steps), layout_(layout), clock_(costs), ranks_(layout.pp) {
    arrivals_.resize(static_cast<std::size_t>(layout.pp * layout.num_parts));
  }

  std::vector<RankEnd> ends() {
    std::vector<std::int64_t> awake;
    for (std::int64_t rank = layout_.pp; rank-- > 0;) awake.push_back(rank);
    while (!awake.empty()) {
      const std::int64_t rank = awake.back();
      awake.pop_back();
      advance(rank, awake);
    }
    std::vector<RankEnd> ends;
    for (std::int64_t rank = 0; rank < layout_.pp; ++rank) {
      const RankState& state = ranks_[static_cast<std::size_t>(rank)];
      ENSURE(state.next == steps_.of(rank).size());  // else the schedule deadlocks
      ends.push_back({state.compute_end, 0});
    }
    return ends;
  }

 private:
  struct RankState {
    std::size_t next = 0;  // step of its list
    Tick free = 0, compute_end = 0;
  };
  struct Arrivals {
    std::vector<Tick> forward, backward;  // in order
  };
  Arrivals& arrivals(const PipelineLayout::Place& place) {
    return arrivals_[static_cast<std::size_t>(place.rank * layout_.num_parts + place.part)];
  }

  // When a message has arrived; nothing: not yet known.
  static std::optional<Tick> arrival(const std::vector<Tick>& arrived, std::int32_t microbatch) {
    const auto index = static_cast<std::size_t>(microbatch);
    return index < arrived.size() ? std::optional(arrived[index]) : std::nullopt;
  }

  void advance(std::int64_t rank, std::vector<std::int64_t>& awake) {
    RankState& state = ranks_[static_cast<std::size_t>(rank)];
    const auto& list = steps_.of(rank);
    for (; state.next < list.size(); ++state.next) {
      const PlannedStep& planned = list[state.next];
      const PipelineLayout::Place f{rank, planned.step.f.part}, b{rank, planned.step.b.part};
      Tick start = state.free;
      if (planned.program->receive_f) {
        const auto at = arrival(arrivals(f).forward, planned.step.f.microbatch);
        if (!at) return;
        start = std::max(start, *at);
      }
      if (planned.program->receive_b) {
        const auto at = arrival(arrivals(b).backward, planned.step.b.microbatch);
        if (!at) return;
        start = std::max(start, *at);
      }
      const auto [known, added] = times_.try_emplace(planned.program);
      if (added) known->second = clock_.times(*planned.program);
      const ProgramTimes& times = known->second;
      if (times.send_f) deliver(*layout_.next(f), false, start + *times.send_f, awake);
      if (times.send_b) deliver(*layout_.previous(b), true, start + *times.send_b, awake);
      state.free = start + times.all;
      state.compute_end = start + times.compute;
    }
  }

  void deliver(const PipelineLayout::Place& to,
               bool backward,
               Tick when,
               std::vector<std::int64_t>& awake) {
    Arrivals& received = arrivals(to);
    (backward ? received.backward : received.forward).push_back(when);
    if (std::find(awake.begin(), awake.end(), to.rank) == awake.end()) awake.push_back(to.rank);
  }

  const PlannedSteps& steps_;
  const PipelineLayout& layout_;
  ProgramClock clock_;
  std::map<const StepProgram*, ProgramTimes> times_;  // programs belong to one rank
  std::vector<RankState> ranks_;
  std::vector<Arrivals> arrivals_;  // [rank][part]
};

}  // namespace

StageCosts costs_for_bound(const Scenario& scenario,
                           const TrainingPhase& phase,
                           const CostModel& model,
                           const RoutingSampler* sampler) {
  TrainingPhase one = phase;
  one.batch = phase.plan.dp * phase.plan.microbatch;
  return {scenario, one, model, /*folded=*/true, /*num_threads=*/1, {NetworkContention{}, sampler}};
}

Tick step_bound(const Scenario& scenario,
                const TrainingPhase& phase,
                const CostModel& model,
                const StageCosts& costs) {
  ENSURE(ranks_are_identical(scenario.model, phase) && costs.folded());
  const ParallelPlan& plan = phase.plan;
  const PipelineLayout layout = plan.layout();
  const std::vector<std::vector<LayerKind>> stages = stage_layers(plan, scenario.model);
  const PlannedSteps steps(plan, pipeline_run(phase), stages, scenario.model.moe && plan.ep > 1);
  const std::vector<RankEnd> ends = PipelinePath(steps, costs, layout).ends();
  Timeline timeline;
  timeline.ranks.resize(ends.size());
  std::vector<OptimizerTimes> optimizer(static_cast<std::size_t>(plan.pp));
  if (plan.schedule != ScheduleKind::overlapped_pair)
    optimizer = optimizer_times(scenario, phase, model, costs.contention());
  end_step(plan, optimizer, ends, /*ranks_per_stage=*/1, timeline);
  return timeline.step;
}

}  // namespace moesim
