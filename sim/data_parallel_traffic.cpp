#include "sim/data_parallel_traffic.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "sim/optimizer_step.hpp"

namespace moesim {
namespace {

bool has_forward(StepKind kind) {
  return kind == StepKind::forward || kind == StepKind::forward_backward;
}
bool has_weight_gradients(StepKind kind) {
  return kind == StepKind::backward || kind == StepKind::weight ||
         kind == StepKind::forward_backward;
}

}  // namespace

std::vector<Tick> bucket_ticks(const std::vector<StageParameters>& layers,
                               double gradient_bytes,
                               Bytes bucket,
                               const ParameterTraffic& traffic) {
  const double full = bucket.in(B) / gradient_bytes;  // parameters of a bucket
  const Tick dense_bucket = to_tick(traffic.reduce({0, full})),
             expert_bucket = to_tick(traffic.reduce({full, 0}));
  std::vector<Tick> ticks(layers.size(), 0);
  StageParameters waiting;
  for (std::size_t i = layers.size(); i-- > 0;) {
    waiting += layers[i];
    const double dense = std::floor(waiting.other / full),
                 expert = std::floor(waiting.expert / full);
    waiting += {-expert * full, -dense * full};
    ticks[i] = static_cast<Tick>(dense) * dense_bucket + static_cast<Tick>(expert) * expert_bucket;
  }
  if (!ticks.empty()) ticks.front() += to_tick(traffic.reduce(waiting));
  return ticks;
}

DataParallelTraffic::DataParallelTraffic(const Scenario& scenario,
                                         const TrainingPhase& phase,
                                         const StageCosts& costs,
                                         const PlannedSteps& steps)
    : plan_(phase.plan),
      steps_(steps),
      layout_(phase.plan.layout()),
      ranks_per_stage_(costs.ranks_per_stage()),
      is_active_(reduces_beside_chunks(plan_) || plan_.zero_stage == 3 ||
                 plan_.overlap_param_gather),
      gathers_layers_(plan_.zero_stage == 3),
      gathers_update_(plan_.zero_stage < 3 && plan_.overlap_param_gather),
      waits_for_gradients_(!plan_.overlap_grad_reduce) {
  if (!is_active_) return;
  const ParameterTraffic traffic(scenario, plan_, costs.contention());
  for (const auto& kinds : costs.stages()) {
    const auto layers = layer_parameters(scenario.model, plan_, kinds);
    StageTicks stage;
    for (const StageParameters& p : layers) stage.gather.push_back(to_tick(traffic.gather(p)));
    if (plan_.overlap_grad_reduce) {
      stage.reduce = bucket_ticks(layers, plan_.gradient_bytes, plan_.gradient_bucket, traffic);
    } else {
      StageParameters all;
      for (const StageParameters& p : layers) all += p;
      stage.reduce.assign(layers.size(), 0);
      if (!layers.empty()) stage.reduce.front() = to_tick(traffic.reduce(all));
    }
    stages_.push_back(std::move(stage));
  }
  ranks_.resize(static_cast<std::size_t>(plan_.pp * ranks_per_stage_));
  uses_.resize(static_cast<std::size_t>(plan_.pp));
  update_marks_.resize(static_cast<std::size_t>(plan_.pp));
  for (std::int64_t pp = 0; pp < plan_.pp; ++pp) {
    look_at_steps(pp);
    if (gathers_update_) queue_updated_weights(pp);
  }
}

// Which layer each operation belongs to, and whether it is its layer's first in a forward or
// backward pass or ends its weight gradients. A chunk's layers come in order, a backward chunk's
// from the last to the first.
std::vector<DataParallelTraffic::OpUse> DataParallelTraffic::uses_of(const StepProgram& program,
                                                                     const PlannedStep& planned,
                                                                     std::int64_t pp) const {
  std::int64_t forward = 0;  // layers of the forward chunk that have begun
  std::int64_t backward, gradients;
  backward = gradients = static_cast<std::int64_t>(
      stages_[static_cast<std::size_t>(layout_.stage_of(pp, planned.step.b.part))].reduce.size());
  std::vector<OpUse> uses(program.compute.size());
  for (std::size_t i = 0; i < uses.size(); ++i) {
    const ComputeOp& op = program.compute[i];
    if (op.kind != ComputeKind::block) continue;
    if (!op.backward_chunk && op.block == Block::attention_f)
      uses[i] = {static_cast<std::int16_t>(forward++), true, false};
    if (op.backward_chunk && op.block == Block::ffn_b)
      uses[i] = {static_cast<std::int16_t>(--backward), true, false};
    if (op.backward_chunk && op.block == Block::attention_w)
      uses[i] = {static_cast<std::int16_t>(--gradients), false, true};
  }
  return uses;
}

void DataParallelTraffic::look_at_steps(std::int64_t pp) {
  const auto& steps = steps_.of(pp);
  auto& uses = uses_[static_cast<std::size_t>(pp)];
  uses.resize(steps.size());
  std::set<std::int32_t> begun, ended;  // parts
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto [it, is_new] = op_uses_.try_emplace(steps[i].program);
    if (is_new) it->second = uses_of(*steps[i].program, steps[i], pp);
    uses[i].ops = &it->second;
    if (has_forward(steps[i].step.kind))
      uses[i].waits_for_update = begun.insert(steps[i].step.f.part).second;
  }
  if (!reduces_beside_chunks(plan_)) return;
  for (std::size_t i = steps.size(); i-- > 0;)
    if (has_weight_gradients(steps[i].step.kind))
      uses[i].sends_gradients = ended.insert(steps[i].step.b.part).second || plan_.zero_stage >= 2;
}

void DataParallelTraffic::queue_updated_weights(std::int64_t pp) {
  auto& marks = update_marks_[static_cast<std::size_t>(pp)];
  marks.resize(static_cast<std::size_t>(layout_.num_parts));
  const auto& steps = steps_.of(pp);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (!use(pp, i).waits_for_update) continue;
    const std::int32_t part = steps[i].step.f.part;
    for (const Tick gather : stages_[static_cast<std::size_t>(layout_.stage_of(pp, part))].gather) {
      Mark mark{};  // the same on every rank of the stage
      for (std::int64_t r = 0; r < ranks_per_stage_; ++r)
        mark = ranks_[static_cast<std::size_t>(pp * ranks_per_stage_ + r)].queue.add(0, gather);
      marks[static_cast<std::size_t>(part)].push_back(mark);
    }
  }
}

std::int64_t DataParallelTraffic::stage_of(const At& at) const {
  const std::int64_t pp = pp_of(at.rank);
  const PlannedStep& planned = steps_.of(pp)[at.step];
  const bool backward = planned.program->compute[at.op].backward_chunk;
  return layout_.stage_of(pp, backward ? planned.step.b.part : planned.step.f.part);
}

void DataParallelTraffic::ask_for_weights(const At& at, Tick now) {
  const OpUse& op = (*use(pp_of(at.rank), at.step).ops)[at.op];
  Rank& rank = ranks_[at.rank];
  rank.weights = rank.queue.add(
      now,
      stages_[static_cast<std::size_t>(stage_of(at))].gather[static_cast<std::size_t>(op.layer)]);
}

void DataParallelTraffic::ask_for_next_weights(const At& after, Tick now) {
  const std::int64_t pp = pp_of(after.rank);
  const auto& uses = uses_[static_cast<std::size_t>(pp)];
  std::uint32_t op = after.op + 1;
  for (std::uint32_t step = after.step; step < uses.size(); ++step, op = 0)
    for (; op < uses[step].ops->size(); ++op)
      if ((*uses[step].ops)[op].needs_weights) return ask_for_weights({after.rank, step, op}, now);
}

std::optional<Tick> DataParallelTraffic::wait(const At& at, Tick now) {
  Rank& rank = ranks_[at.rank];
  const std::int64_t pp = pp_of(at.rank);
  const StepUse& step = use(pp, at.step);
  const OpUse& op = (*step.ops)[at.op];
  auto until = [&](Mark mark) -> std::optional<Tick> {
    if (rank.queue.complete(mark, now)) return std::nullopt;
    return rank.queue.due(mark);
  };
  if (at.op == 0 && rank.gradients) {
    if (const auto due = until(*rank.gradients)) return due;
    rank.gradients.reset();
  }
  if (!op.needs_weights) return std::nullopt;
  if (gathers_layers_) {
    if (!rank.weights) ask_for_weights(at, now);
    return until(*rank.weights);
  }
  const PlannedStep& planned = steps_.of(pp)[at.step];
  if (!gathers_update_ || !step.waits_for_update || planned.program->compute[at.op].backward_chunk)
    return std::nullopt;
  return until(update_marks_[static_cast<std::size_t>(pp)][static_cast<std::size_t>(
      planned.step.f.part)][static_cast<std::size_t>(op.layer)]);
}

void DataParallelTraffic::started(const At& at, Tick now) {
  if (!gathers_layers_ || !(*use(pp_of(at.rank), at.step).ops)[at.op].needs_weights) return;
  ranks_[at.rank].weights.reset();
  if (plan_.overlap_param_gather) ask_for_next_weights(at, now);
}

void DataParallelTraffic::finished(const At& at, Tick now) {
  const StepUse& step = use(pp_of(at.rank), at.step);
  const OpUse& op = (*step.ops)[at.op];
  if (!step.sends_gradients || !op.ends_gradients) return;
  Rank& rank = ranks_[at.rank];
  const Mark mark = rank.queue.add(
      now,
      stages_[static_cast<std::size_t>(stage_of(at))].reduce[static_cast<std::size_t>(op.layer)]);
  if (waits_for_gradients_) rank.gradients = mark;
}

}  // namespace moesim
