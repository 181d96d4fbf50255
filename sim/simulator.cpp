#include "sim/simulator.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>

#include "sim/event_queue.hpp"
#include "sim/optimizer_step.hpp"
#include "sim/step_program.hpp"

namespace moesim {
namespace {

enum class EventKind : std::uint8_t { compute_done, comm_done };
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

Tick overlap_of(Tick a0, Tick a1, Tick b0, Tick b1) {
  return std::max<Tick>(0, std::min(a1, b1) - std::max(a0, b0));
}

// One step of one pipeline rank, ready to run.
struct PlannedStep {
  const StepProgram* program;
  ScheduleStep step;
};

// Where a stream is in its rank's list of steps.
struct Cursor {
  std::uint32_t step = 0, op = 0;
  std::int64_t other_base = 0;  // operations of the other stream in the steps before `step`
};

struct CommRecord {  // the communication operation that ended last
  Tick previous_end = 0, arrive = 0, start = 0, end = 0;
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
        run_(pipeline_run(phase)) {
    plan_steps();
    const std::size_t n = static_cast<std::size_t>(pp_ * ranks_per_stage_);
    states_.resize(n);
    arrivals_.resize(n * static_cast<std::size_t>(layout_.num_parts));
    times_.resize(n);
    groups_.resize(n / static_cast<std::size_t>(group_size_));
    block_uses_.assign(costs.blocks().size(), 0);
    traced_.assign(n, false);
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
      if (event.kind == EventKind::compute_done)
        finish_compute(event.rank);
      else
        finish_comm(event.rank);
    }
    for (std::uint32_t r = 0; r < states_.size(); ++r) {
      const auto& steps = steps_[static_cast<std::size_t>(pp_of(r))];
      ENSURE(states_[r].compute.step == steps.size() &&
             states_[r].comm.step == steps.size());  // else the schedule deadlocks
    }
  }

  // Ticks at which each rank's compute stream ended.
  std::vector<Tick> ends() const {
    std::vector<Tick> ticks;
    for (const RankState& st : states_) ticks.push_back(st.compute_idle_since);
    return ticks;
  }
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
      const PlannedStep& planned = steps_[static_cast<std::size_t>(pp_of(op.rank))][op.step];
      PathOp named{
          op.rank, pp_of(op.rank), phase_of(planned.step.kind), op.stream, "", 0, op.start, op.end};
      auto name = [&](const auto& operation) {
        named.kind = operation_kind(operation);
        named.microbatch = chunk_of(operation, planned.step).microbatch;
      };
      if (op.stream == StreamKind::compute)
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

  void plan_steps() {
    const Schedule& schedule = schedule_of(plan_.schedule);
    std::map<std::tuple<std::int64_t, StepKind, int, int>, const StepProgram*> known;
    steps_.resize(static_cast<std::size_t>(pp_));
    for (std::int64_t rank = 0; rank < pp_; ++rank)
      for (const ScheduleStep& step : schedule.steps(run_, rank)) {
        const StepProgram*& program = known[{rank, step.kind, step.f.part, step.b.part}];
        if (program == nullptr) {
          StepContext c;
          const bool has_f =
              step.kind == StepKind::forward || step.kind == StepKind::forward_backward;
          const bool has_b = step.kind != StepKind::forward;
          const PipelineLayout::Place f{rank, step.f.part}, b{rank, step.b.part};
          // A neighbour on the same rank needs no message: the order of its steps is enough.
          auto elsewhere = [rank](const std::optional<PipelineLayout::Place>& place) {
            return place && place->rank != rank;
          };
          if (has_f) {
            c.f_layers = &costs_.stages()[static_cast<std::size_t>(layout_.stage_of(rank, f.part))];
            c.receive_f = elsewhere(layout_.previous(f));
            c.send_f = elsewhere(layout_.next(f));
          }
          if (has_b) {
            c.b_layers = &costs_.stages()[static_cast<std::size_t>(layout_.stage_of(rank, b.part))];
            c.receive_b = elsewhere(layout_.next(b));
            c.send_b = elsewhere(layout_.previous(b));
          }
          c.expert_parallel = expert_parallel_;
          c.overlap_order = plan_.overlap_order;
          programs_.push_back(std::make_unique<StepProgram>(build_step_program(step.kind, c)));
          program = programs_.back().get();
        }
        steps_[static_cast<std::size_t>(rank)].push_back({program, step});
      }
  }

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
    const auto& steps = steps_[static_cast<std::size_t>(pp_of(rank))];
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
    const PlannedStep& planned = steps_[static_cast<std::size_t>(pp_of(rank))][st.compute.step];
    const ComputeOp& op = planned.program->compute[st.compute.op];
    if (st.comm_done < st.compute.other_base + op.wait_comm) return;
    const bool first = st.compute.op == 0;
    if (first && planned.program->receive_f &&
        arrivals(rank, planned.step.f.part).forward <= planned.step.f.microbatch)
      return;
    if (first && planned.program->receive_b &&
        arrivals(rank, planned.step.b.part).backward <= planned.step.b.microbatch)
      return;
    const Tick now = queue_.now();
    account_gap(st, times_[rank], st.compute_idle_since, now, first);
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

  // Ticks in which the compute stream had nothing to run.
  void account_gap(RankState& st, RankTimes& times, Tick from, Tick to, bool between_steps) {
    if (from == to) return;
    if (between_steps) times.by_phase[idx(SchedulePhase::bubble)] += to - from;
    Tick left = to - from;
    auto give = [&](Category c, Tick t) {
      times.by_category[idx(c)] += t;
      left -= t;
    };
    if (between_steps) {  // the message that was missing travelled for part of the gap
      give(Category::exposed_comm, overlap_of(from, to, st.message_start, st.message_end));
    } else {
      const CommRecord& c = st.last_comm;
      give(Category::exposed_comm, overlap_of(from, to, c.start, c.end));
      give(Category::peer_wait, overlap_of(from, to, c.arrive, c.start));
      give(
          Category::exposed_comm,
          overlap_of(from, to, 0, c.previous_end));  // the stream was busy with an earlier transfer
    }
    times.by_category[idx(Category::bubble)] += left;
  }

  void finish_compute(std::uint32_t rank) {
    RankState& st = states_[rank];
    const PlannedStep& planned = steps_[static_cast<std::size_t>(pp_of(rank))][st.compute.step];
    const ComputeOp& op = planned.program->compute[st.compute.op];
    if (traced_[rank] && queue_.now() > st.op_start)
      record(
          rank, StreamKind::compute, operation_name(op, planned.step), st.op_start, queue_.now());
    if (log_) log_->end(st.compute_id, queue_.now());
    st.compute_busy = false;
    st.compute_idle_since = queue_.now();
    ++st.compute_done;
    if (++st.compute.op == planned.program->compute.size())
      times_[rank].by_phase[idx(phase_of(planned.step.kind))] += queue_.now() - st.step_start;
    wake(rank);
  }

  void start_comm(std::uint32_t rank) {
    RankState& st = states_[rank];
    if (st.comm_busy || !settle(rank, st.comm, &num_comm, &num_compute)) return;
    const PlannedStep& planned = steps_[static_cast<std::size_t>(pp_of(rank))][st.comm.step];
    const CommOp& op = planned.program->comm[st.comm.op];
    if (st.compute_done < st.comm.other_base + op.wait_compute) return;
    st.comm_busy = true;
    st.running_comm.previous_end = st.last_comm.end;
    st.running_comm.arrive = queue_.now();
    if (op.kind == CommKind::send_f || op.kind == CommKind::send_b) {
      st.running_comm.start = queue_.now();
      if (log_) st.comm_id = log_->begin(logged(rank, st.comm, StreamKind::communication));
      queue_.at(queue_.now() + costs_.send_ticks(), {EventKind::comm_done, rank});
      return;
    }
    const std::uint32_t group = rank / static_cast<std::uint32_t>(group_size_);
    if (++groups_[group].arrived < static_cast<std::uint32_t>(group_size_)) return;
    groups_[group].arrived = 0;  // the last peer is here: all start now
    for (std::uint32_t peer = group * static_cast<std::uint32_t>(group_size_);
         peer < (group + 1) * static_cast<std::uint32_t>(group_size_);
         ++peer) {
      RankState& at = states_[peer];
      at.running_comm.start = queue_.now();
      if (log_) at.comm_id = log_->begin(logged(peer, at.comm, StreamKind::communication));
      queue_.at(queue_.now() + transfer_ticks(peer, planned, op), {EventKind::comm_done, peer});
    }
  }

  Tick transfer_ticks(std::uint32_t rank, const PlannedStep& planned, const CommOp& op) const {
    const bool backward = op.kind == CommKind::combine_b || op.kind == CommKind::dispatch_b;
    const LayerLoad& l = load(rank, backward ? planned.step.b : planned.step.f, op.moe_index);
    const bool overlapped = planned.program->overlapped;
    switch (op.kind) {
      case CommKind::dispatch_f: return costs_.dispatch_ticks(l, overlapped, false);
      case CommKind::combine_b: return costs_.dispatch_ticks(l, overlapped, true);
      default: return costs_.combine_ticks(l, overlapped);
    }
  }

  void finish_comm(std::uint32_t rank) {
    RankState& st = states_[rank];
    const PlannedStep& planned = steps_[static_cast<std::size_t>(pp_of(rank))][st.comm.step];
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
  std::vector<std::unique_ptr<StepProgram>> programs_;
  std::vector<std::vector<PlannedStep>> steps_;  // [pp]
  std::vector<RankState> states_;
  std::vector<Arrivals> arrivals_;  // [rank][part]
  std::vector<RankTimes> times_;
  std::vector<Group> groups_;
  std::vector<std::uint64_t> block_uses_;
  std::vector<bool> traced_;
  std::vector<Span> spans_;
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
  if (options.explain) {
    const std::vector<Tick> ends = sim.ends();
    const auto last =
        static_cast<std::uint32_t>(std::max_element(ends.begin(), ends.end()) - ends.begin());
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
