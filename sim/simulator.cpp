#include "sim/simulator.hpp"

#include <algorithm>

#include "sim/compute_gap.hpp"
#include "sim/data_parallel_traffic.hpp"
#include "sim/event_queue.hpp"
#include "sim/optimizer_step.hpp"
#include "sim/planned_steps.hpp"

namespace moesim {
namespace {

enum class EventKind : std::uint8_t { compute_done, comm_done, traffic_due };
struct Event {
  EventKind kind;
  std::uint32_t rank;  // simulated rank
};

constexpr std::size_t idx(Category c) { return static_cast<std::size_t>(c); }
constexpr std::size_t idx(SchedulePhase p) { return static_cast<std::size_t>(p); }

SchedulePhase phase_of(StepKind kind) {
  switch (kind) {
    case StepKind::forward: return SchedulePhase::forward;
    case StepKind::backward:
    case StepKind::backward_input: return SchedulePhase::backward;
    case StepKind::weight: return SchedulePhase::weight;
    case StepKind::forward_backward: return SchedulePhase::forward_backward;
  }
  throw std::logic_error("step kind without a phase");
}

// In place of a communication operation's index in the log: weights or gradients beside the chunks
// that the compute stream waited for.
constexpr std::uint16_t kParameters = 0xFFFF;

// Where a stream is in its rank's list of steps.
struct Cursor {
  std::uint32_t step = 0, op = 0;
  std::int64_t other_base = 0;  // operations of the other stream in the steps before `step`
};

struct RankState {
  Cursor compute, comm;
  std::int64_t compute_done = 0, comm_done = 0;
  bool compute_busy = false, comm_busy = false;
  Tick compute_idle_since = 0;
  Tick step_start = 0, op_start = 0;
  CommRecord last_comm, running_comm;
  Tick message_start = 0, message_end = 0;    // of the message that came last
  std::uint32_t compute_id = 0, comm_id = 0;  // of the running operations in the log
  // The compute stream could go on but for weights or gradients: since when, and in the log.
  std::optional<Tick> held_since;
  std::uint32_t held_id = 0;
  bool is_traffic_due = false;  // an event will look again
};

struct Arrivals {  // messages received at a place of the pipeline
  std::int32_t forward = 0, backward = 0;
};

struct Group {  // an expert-parallel group at its current collective
  std::uint32_t arrived = 0;
};

class Simulation {
 public:
  Simulation(const Scenario& scenario,
             const TrainingPhase& phase,
             const StageCosts& costs,
             const SimulationOptions& options)
      : plan_(phase.plan),
        costs_(costs),
        pp_(phase.plan.pp),
        ranks_per_stage_(costs.ranks_per_stage()),
        group_size_(costs.folded() ? 1 : phase.plan.ranks_per_ep_group()),
        expert_parallel_(scenario.model.moe && phase.plan.ep > 1),
        layout_(phase.plan.layout()),
        run_(pipeline_run(phase)),
        steps_(plan_, run_, costs.stages(), expert_parallel_),
        traffic_(scenario, phase, costs, steps_) {
    const std::size_t n = static_cast<std::size_t>(pp_ * ranks_per_stage_);
    states_.resize(n);
    arrivals_.resize(n * static_cast<std::size_t>(layout_.num_parts));
    times_.resize(n);
    groups_.resize(n / static_cast<std::size_t>(group_size_));
    block_uses_.assign(costs.blocks().size(), 0);
    traced_.assign(n, false);
    for (std::int64_t pp = 0; pp < pp_; ++pp) step_times_.emplace_back(steps_.of(pp).size());
    if (options.explain) log_.emplace();
    for (const std::int64_t rank : options.timeline_ranks) {
      const auto i =
          static_cast<std::size_t>(costs.folded() ? rank / phase.plan.ranks_per_stage() : rank);
      if (i < n) traced_[i] = true;
    }
  }

  void run() {
    for (std::uint32_t r = 0; r < states_.size(); ++r) wake(r);
    while (!queue_.empty()) {
      const Event event = queue_.pop();
      switch (event.kind) {
        case EventKind::compute_done: finish_compute(event.rank); break;
        case EventKind::comm_done: finish_comm(event.rank); break;
        case EventKind::traffic_due:
          states_[event.rank].is_traffic_due = false;
          start_compute(event.rank);
          break;
      }
    }
    for (std::uint32_t r = 0; r < states_.size(); ++r) {
      const auto& steps = steps_.of(pp_of(r));
      ENSURE(states_[r].compute.step == steps.size() &&
             states_[r].comm.step == steps.size());  // else the schedule deadlocks
    }
  }

  // When each rank's compute stream and what travelled beside it ended.
  std::vector<RankEnd> ends() const {
    std::vector<RankEnd> ends;
    for (std::uint32_t r = 0; r < states_.size(); ++r)
      ends.push_back({states_[r].compute_idle_since, traffic_.end(r)});
    return ends;
  }
  std::vector<std::vector<StepTime>>& step_times() { return step_times_; }
  std::vector<RankTimes>& times() { return times_; }
  std::vector<Span>& spans() { return spans_; }
  std::uint64_t num_events() const { return queue_.num_scheduled(); }

  void add_work(Timeline& timeline) const {
    const auto n = static_cast<double>(states_.size());
    for (std::size_t b = 0; b < block_uses_.size(); ++b) {
      if (block_uses_[b] == 0) continue;
      const BlockCost& cost = costs_.blocks()[b];
      const double uses = static_cast<double>(block_uses_[b]) / n;
      for (std::size_t i = 0; i < kNumOrigins; ++i)
        timeline.seconds_by_origin[i] += uses * cost.seconds_by_origin[i];
      for (std::size_t i = 0; i < kNumLosses; ++i)
        timeline.seconds_by_loss[i] += uses * cost.seconds_by_loss[i];
    }
  }

  // To the end of the rank's last chunk, with the names of its operations.
  std::vector<PathOp> path_to(std::uint32_t rank) const {
    std::vector<PathOp> path;
    for (const LoggedOp& op : log_->path_to(log_->last_of(rank))) {
      const PlannedStep& planned = steps_.of(pp_of(op.rank))[op.step];
      PathOp named{
          op.rank, pp_of(op.rank), phase_of(planned.step.kind), op.stream, "", 0, op.start, op.end};
      auto name = [&](const auto& operation) {
        named.kind = operation_kind(operation);
        named.microbatch = chunk_of(operation, planned.step).microbatch;
      };
      if (op.op == kParameters)
        named.kind = "parameters";
      else if (op.stream == StreamKind::compute)
        name(planned.program->compute[op.op]);
      else
        name(planned.program->comm[op.op]);
      path.push_back(std::move(named));
    }
    return path;
  }

 private:
  std::int64_t pp_of(std::uint32_t rank) const { return rank / ranks_per_stage_; }
  std::int64_t in_stage(std::uint32_t rank) const { return rank % ranks_per_stage_; }

  void wake(std::uint32_t rank) {
    start_comm(rank);
    start_compute(rank);
  }

  const LayerLoad& load(std::uint32_t rank, const Chunk& chunk, std::int16_t moe_index) const {
    return costs_.load(layout_.stage_of(pp_of(rank), chunk.part),
                       microbatch_index(run_, layout_.order, chunk),
                       moe_index,
                       in_stage(rank));
  }

  std::size_t block_of(std::uint32_t rank, const PlannedStep& planned, const ComputeOp& op) const {
    const Chunk& chunk = op.backward_chunk ? planned.step.b : planned.step.f;
    const std::uint32_t load_class =
        op.moe_index >= 0 ? load(rank, chunk, op.moe_index).load_class : 0;
    return costs_.block_index(op.layer, op.block, load_class, planned.program->overlapped);
  }

  // Skips finished steps; false at the end of the list.
  template <class Ops>
  bool settle(std::uint32_t rank, Cursor& cursor, Ops own, Ops other) {
    const auto& steps = steps_.of(pp_of(rank));
    while (cursor.step < steps.size() && cursor.op == own(*steps[cursor.step].program)) {
      cursor.other_base += static_cast<std::int64_t>(other(*steps[cursor.step].program));
      ++cursor.step;
      cursor.op = 0;
    }
    return cursor.step < steps.size();
  }
  static std::size_t num_compute(const StepProgram& p) { return p.compute.size(); }
  static std::size_t num_comm(const StepProgram& p) { return p.comm.size(); }

  void start_compute(std::uint32_t rank) {
    RankState& st = states_[rank];
    if (st.compute_busy || !settle(rank, st.compute, &num_compute, &num_comm)) return;
    const PlannedStep& planned = steps_.of(pp_of(rank))[st.compute.step];
    const ComputeOp& op = planned.program->compute[st.compute.op];
    if (st.comm_done < st.compute.other_base + op.wait_comm) return;
    const bool first = st.compute.op == 0;
    if (first && planned.program->receive_f &&
        arrivals(rank, planned.step.f.part).forward <= planned.step.f.microbatch)
      return;
    if (first && planned.program->receive_b &&
        arrivals(rank, planned.step.b.part).backward <= planned.step.b.microbatch)
      return;
    if (is_held(rank)) return;
    const Tick now = queue_.now();
    account_gap({st.compute_idle_since,
                 now,
                 st.held_since.value_or(now),
                 first,
                 st.last_comm,
                 st.message_start,
                 st.message_end},
                times_[rank]);
    if (log_ && st.held_since) log_->end(st.held_id, now);
    st.held_since.reset();
    if (first) st.step_start = now;
    st.op_start = now;
    Tick duration = 0;
    RankTimes& times = times_[rank];
    if (op.kind == ComputeKind::startup) {
      duration = costs_.startup_ticks();
      times.by_category[idx(Category::launch_gap)] += duration;
    } else if (op.kind == ComputeKind::block) {
      const std::size_t index = block_of(rank, planned, op);
      const BlockCost& cost = costs_.blocks()[index];
      ++block_uses_[index];
      duration = cost.duration;
      for (std::size_t c = 0; c < kNumCategories; ++c) times.by_category[c] += cost.by_category[c];
    }
    st.compute_busy = true;
    if (log_) st.compute_id = log_->begin(logged(rank, st.compute, StreamKind::compute));
    queue_.at(now + duration, {EventKind::compute_done, rank});
  }

  static DataParallelTraffic::At at(std::uint32_t rank, const Cursor& cursor) {
    return {rank, cursor.step, cursor.op};
  }

  // The next compute operation could start, but for weights or gradients that still travel.
  bool is_held(std::uint32_t rank) {
    if (!traffic_.is_active()) return false;
    RankState& st = states_[rank];
    const Tick now = queue_.now();
    const std::optional<Tick> due = traffic_.wait(at(rank, st.compute), now);
    if (!due) {
      traffic_.started(at(rank, st.compute), now);
      return false;
    }
    if (!st.held_since) {
      st.held_since = now;
      if (log_) {
        LoggedOp held = logged(rank, st.compute, StreamKind::communication);
        held.op = kParameters;
        st.held_id = log_->begin(held);
      }
    }
    // Operations that start before delay it further: then it is looked at again.
    if (!st.is_traffic_due) queue_.at(*due, {EventKind::traffic_due, rank});
    st.is_traffic_due = true;
    return true;
  }

  void finish_compute(std::uint32_t rank) {
    RankState& st = states_[rank];
    const PlannedStep& planned = steps_.of(pp_of(rank))[st.compute.step];
    const ComputeOp& op = planned.program->compute[st.compute.op];
    if (traced_[rank] && queue_.now() > st.op_start)
      record(
          rank, StreamKind::compute, operation_name(op, planned.step), st.op_start, queue_.now());
    if (log_) log_->end(st.compute_id, queue_.now());
    st.compute_busy = false;
    st.compute_idle_since = queue_.now();
    ++st.compute_done;
    if (traffic_.is_active()) traffic_.finished(at(rank, st.compute), queue_.now());
    if (++st.compute.op == planned.program->compute.size()) {
      times_[rank].by_phase[idx(phase_of(planned.step.kind))] += queue_.now() - st.step_start;
      if (in_stage(rank) == 0)
        step_times_[static_cast<std::size_t>(pp_of(rank))][st.compute.step] = {st.step_start,
                                                                               queue_.now()};
    }
    wake(rank);
  }

  void start_comm(std::uint32_t rank) {
    RankState& st = states_[rank];
    if (st.comm_busy || !settle(rank, st.comm, &num_comm, &num_compute)) return;
    const PlannedStep& planned = steps_.of(pp_of(rank))[st.comm.step];
    const CommOp& op = planned.program->comm[st.comm.op];
    if (st.compute_done < st.comm.other_base + op.wait_compute) return;
    st.comm_busy = true;
    st.running_comm.previous_end = st.last_comm.end;
    st.running_comm.arrive = queue_.now();
    if (op.kind == CommKind::send_f || op.kind == CommKind::send_b) {
      st.running_comm.start = queue_.now();
      if (log_) st.comm_id = log_->begin(logged(rank, st.comm, StreamKind::communication));
      const Tick duration = traffic_.operation(rank, queue_.now(), costs_.send_ticks());
      queue_.at(queue_.now() + duration, {EventKind::comm_done, rank});
      return;
    }
    const std::uint32_t group = rank / static_cast<std::uint32_t>(group_size_);
    if (++groups_[group].arrived < static_cast<std::uint32_t>(group_size_)) return;
    groups_[group].arrived = 0;  // the last peer is here: all start now
    for (std::uint32_t peer = group * static_cast<std::uint32_t>(group_size_);
         peer < (group + 1) * static_cast<std::uint32_t>(group_size_);
         ++peer) {
      RankState& ready = states_[peer];
      ready.running_comm.start = queue_.now();
      if (log_) ready.comm_id = log_->begin(logged(peer, ready.comm, StreamKind::communication));
      const Tick duration =
          traffic_.operation(peer, queue_.now(), transfer_ticks(peer, planned, op));
      queue_.at(queue_.now() + duration, {EventKind::comm_done, peer});
    }
  }

  Tick transfer_ticks(std::uint32_t rank, const PlannedStep& planned, const CommOp& op) const {
    const LayerLoad& l = load(rank, chunk_of(op, planned.step), op.moe_index);
    const bool overlapped = planned.program->overlapped;
    switch (op.kind) {
      case CommKind::dispatch_f:
      case CommKind::dispatch_r: return costs_.dispatch_ticks(l, overlapped, false);
      case CommKind::combine_b: return costs_.dispatch_ticks(l, overlapped, true);
      default: return costs_.combine_ticks(l, overlapped);
    }
  }

  void finish_comm(std::uint32_t rank) {
    RankState& st = states_[rank];
    const PlannedStep& planned = steps_.of(pp_of(rank))[st.comm.step];
    const CommOp& op = planned.program->comm[st.comm.op];
    if (log_) log_->end(st.comm_id, queue_.now());
    st.running_comm.end = queue_.now();
    st.last_comm = st.running_comm;
    st.comm_busy = false;
    if (traced_[rank]) {
      if (st.last_comm.start > st.last_comm.arrive)
        record(rank,
               StreamKind::communication,
               "wait for peers",
               st.last_comm.arrive,
               st.last_comm.start);
      record(rank,
             StreamKind::communication,
             operation_name(op, planned.step),
             st.last_comm.start,
             st.last_comm.end);
    }
    ++st.comm_done;
    ++st.comm.op;
    const PipelineLayout::Place f{pp_of(rank), planned.step.f.part},
        b{pp_of(rank), planned.step.b.part};
    if (op.kind == CommKind::send_f) deliver(rank, *layout_.next(f), false);
    if (op.kind == CommKind::send_b) deliver(rank, *layout_.previous(b), true);
    wake(rank);
  }

  Arrivals& arrivals(std::uint32_t rank, std::int64_t part) {
    return arrivals_[rank * static_cast<std::size_t>(layout_.num_parts) +
                     static_cast<std::size_t>(part)];
  }

  void deliver(std::uint32_t from, const PipelineLayout::Place& place, bool backward) {
    const auto to = static_cast<std::uint32_t>(place.rank * ranks_per_stage_ + in_stage(from));
    RankState& st = states_[to];
    Arrivals& received = arrivals(to, place.part);
    ++(backward ? received.backward : received.forward);
    st.message_start = states_[from].last_comm.start;
    st.message_end = queue_.now();
    wake(to);
  }

  LoggedOp logged(std::uint32_t rank, const Cursor& at, StreamKind stream) const {
    return {queue_.now(), 0, rank, at.step, static_cast<std::uint16_t>(at.op), stream, 0};
  }

  void record(std::uint32_t rank, StreamKind stream, std::string name, Tick start, Tick end) {
    spans_.push_back({rank, stream, std::move(name), start, end});
  }

  const ParallelPlan& plan_;
  const StageCosts& costs_;
  std::int64_t pp_, ranks_per_stage_, group_size_;
  bool expert_parallel_;
  PipelineLayout layout_;
  PipelineRun run_;
  PlannedSteps steps_;
  DataParallelTraffic traffic_;
  std::vector<RankState> states_;
  std::vector<Arrivals> arrivals_;  // [rank][part]
  std::vector<RankTimes> times_;
  std::vector<Group> groups_;
  std::vector<std::uint64_t> block_uses_;
  std::vector<bool> traced_;
  std::vector<Span> spans_;
  std::vector<std::vector<StepTime>> step_times_;  // [pp][step of its list]
  std::optional<OperationLog> log_;
  EventQueue<Event> queue_;
};

}  // namespace

bool ranks_are_identical(const ModelSpec& model, const TrainingPhase& phase) {
  return !model.moe || phase.routing.kind == RoutingKind::balanced;
}

PipelineRun pipeline_run(const TrainingPhase& phase) {
  const ParallelPlan& plan = phase.plan;
  return {
      plan.pp, num_microbatches(plan, phase.batch), plan.virtual_stages, plan.overlap_expert_comm};
}

std::string schedule_refusal(const TrainingPhase& phase) {
  return schedule_of(phase.plan.schedule).refusal(pipeline_run(phase));
}

StepResult simulate_step(const Scenario& scenario,
                         const TrainingPhase& phase,
                         const CostModel& model,
                         const SimulationOptions& options) {
  ENSURE(schedule_refusal(phase).empty());
  const bool folded = options.allow_folding && ranks_are_identical(scenario.model, phase);
  return simulate_step(scenario,
                       phase,
                       model,
                       StageCosts(scenario, phase, model, folded, options.num_threads),
                       options);
}

StepResult simulate_step(const Scenario& scenario,
                         const TrainingPhase& phase,
                         const CostModel& model,
                         const StageCosts& costs,
                         const SimulationOptions& options) {
  StepResult result;
  result.folded = costs.folded();
  Simulation sim(scenario, phase, costs, options);
  sim.run();
  const std::int64_t ranks_per_stage = costs.ranks_per_stage();
  result.num_simulated_ranks = phase.plan.pp * ranks_per_stage;
  result.num_events = sim.num_events();
  result.timeline.ranks = std::move(sim.times());
  // A pair of chunks is all there is: no optimizer follows it.
  result.optimizer.assign(static_cast<std::size_t>(phase.plan.pp), OptimizerTimes{});
  if (phase.plan.schedule != ScheduleKind::overlapped_pair)
    result.optimizer = optimizer_times(scenario, phase, model, costs.contention());
  end_step(phase.plan, result.optimizer, sim.ends(), ranks_per_stage, result.timeline);
  sim.add_work(result.timeline);
  result.step_times = std::move(sim.step_times());
  if (options.explain) {
    const std::vector<RankEnd> ends = sim.ends();
    const auto last = static_cast<std::uint32_t>(
        std::max_element(ends.begin(),
                         ends.end(),
                         [](const RankEnd& a, const RankEnd& b) { return a.chunks < b.chunks; }) -
        ends.begin());
    result.critical_path = critical_path(sim.path_to(last), result.timeline.step);
  }
  const std::int64_t stride = result.folded ? phase.plan.ranks_per_stage() : 1;
  for (std::size_t r = 0; r < result.timeline.ranks.size(); ++r) {
    RankTimes& t = result.timeline.ranks[r];
    t.rank = static_cast<std::int64_t>(r) * stride;
    t.pp = static_cast<std::int64_t>(r) / ranks_per_stage;
    Tick categories = 0, phases = 0;
    for (const Tick v : t.by_category) categories += v;
    for (const Tick v : t.by_phase) phases += v;
    ENSURE(categories == result.timeline.step &&
           phases == result.timeline.step);  // nothing lost, nothing twice
  }
  result.timeline.spans = std::move(sim.spans());
  for (Span& span : result.timeline.spans) span.rank *= stride;
  std::stable_sort(result.timeline.spans.begin(),
                   result.timeline.spans.end(),
                   [](const Span& a, const Span& b) { return a.rank < b.rank; });
  result.mean_load = costs.mean_load();
  result.contention = costs.contention();
  if (const RoutingSampler* sampler = costs.sampler()) {
    result.nodes_per_token = sampler->nodes_per_token();
    result.ranks_per_token = sampler->ranks_per_token();
    result.max_over_mean_rows = costs.max_over_mean_rows();
    result.popularity_residual = sampler->worst_residual();
  }
  return result;
}

}  // namespace moesim
