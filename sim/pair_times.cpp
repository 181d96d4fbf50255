#include "sim/pair_times.hpp"

#include <algorithm>
#include <array>

#include "sim/simulator.hpp"
#include "sim/step_program.hpp"

namespace moesim {
namespace {

// By CommKind, as far as transfers of experts go.
struct TransferName {
  CommKind kind;
  const char *block, *before, *wait, *rows;  // operations, in launch order; before: may be none
};
constexpr std::array<TransferName, 4> kTransfers = {
    {{CommKind::dispatch_f,
      "dispatch(F)",
      "get_dispatch_layout",
      "notify_dispatch(wait)",
      "dispatch_fwd(fp8)"},
     {CommKind::combine_f, "combine(F)", nullptr, "cached_notify(wait)", "combine_fwd(bf16)"},
     {CommKind::combine_b,
      "combine(B)",
      "cast_dY_fp8(comm stream)",
      "cached_notify(wait)",
      "combine_bwd = cached dispatch(fp8 grads)"},
     {CommKind::dispatch_b,
      "dispatch(B)",
      nullptr,
      "cached_notify(wait)",
      "dispatch_bwd = combine(bf16 grads)"}}};

// The block that an operation of the timeline belongs to: "mlp(B) r3" to "mlp(B)".
std::string block_of(const Span& span) { return span.name.substr(0, span.name.find(' ')); }
bool is_wait(const Span& span) { return span.name == "wait for peers"; }

class PairSums {
 public:
  PairSums(const Scenario& scenario, int num_threads)
      : scenario_(scenario),
        phase_(scenario.phases.front()),
        model_(scenario.profile, scenario.cluster.gpu),
        costs_(scenario, phase_, model_, ranks_are_identical(scenario.model, phase_), num_threads) {
  }
  PairTimes run();

 private:
  BlockTime& block(const std::string& name) {
    const auto it = std::find_if(times_.blocks.begin(),
                                 times_.blocks.end(),
                                 [&](const BlockTime& b) { return b.name == name; });
    ENSURE(it != times_.blocks.end());
    return *it;
  }
  const LayerLoad& load(bool backward, std::int16_t moe_index) const;
  void add(BlockTime& block, const OpTime& op);
  void add_compute(const ComputeOp& op);
  void add_transfer(const CommOp& op);
  void read_timeline(const std::vector<Span>& spans);

  const Scenario& scenario_;
  const TrainingPhase& phase_;
  CostModel model_;
  StageCosts costs_;
  PairTimes times_;
};

PairTimes PairSums::run() {
  for (const std::string_view name : kBlockNames)
    times_.blocks.push_back({std::string(name), false, 0, {}, {}, {}});
  for (const TransferName& name : kTransfers)
    times_.blocks.push_back({name.block, true, 0, {}, {}, {}});
  // One stage, and both chunks on it (sim/schedule/overlapped_pair).
  StepContext context;
  context.f_layers = context.b_layers = &costs_.stages().front();
  context.expert_parallel = scenario_.model.moe && phase_.plan.ep > 1;
  context.overlap_order = phase_.plan.overlap_order;
  const StepProgram program = build_step_program(StepKind::forward_backward, context);
  for (const ComputeOp& op : program.compute)
    if (op.kind == ComputeKind::block) add_compute(op);
  for (const CommOp& op : program.comm) add_transfer(op);
  SimulationOptions options;
  options.timeline_ranks = {0};
  read_timeline(simulate_step(scenario_, phase_, model_, costs_, options).timeline.spans);
  return std::move(times_);
}

const LayerLoad& PairSums::load(bool backward, std::int16_t moe_index) const {
  // Microbatch 0 goes forward, 1 backward; rank 0.
  return costs_.load(0, backward ? 1 : 0, moe_index, 0);
}

void PairSums::add(BlockTime& block, const OpTime& op) {
  auto it = std::find_if(block.ops.begin(), block.ops.end(), [&](const OpTime& other) {
    return other.name == op.name;
  });
  block.kernels += op.time;
  if (it == block.ops.end()) {
    block.ops.push_back(op);
    return;
  }
  it->calls += op.calls;
  it->time += op.time;
}

void PairSums::add_compute(const ComputeOp& op) {
  RankLoad rank_load = costs_.mean_load();
  if (op.moe_index >= 0) rank_load = costs_.rank_load(load(op.backward_chunk, op.moe_index));
  if (op.moe_index >= 0 && op.block == Block::ffn_f) times_.forward_loads.push_back(rank_load);
  if (op.moe_index >= 0 && op.block == Block::ffn_b) times_.backward_loads.push_back(rank_load);
  const LayerOps layer = build_layer_ops(scenario_.model, op.layer, costs_.shape(), rank_load);
  const auto index = static_cast<std::size_t>(op.block);
  BlockTime& sums = block(std::string(kBlockNames[index]));
  ++sums.runs;
  const SmShare share{scenario_.cluster.gpu.num_sms - phase_.plan.comm_sms, true};
  for (const Op& kernel : layer.blocks[index])
    add(sums, {std::string(kernel.name), kernel.launches, model_.cost(kernel, share).time, false});
}

void PairSums::add_transfer(const CommOp& op) {
  const auto name = std::find_if(kTransfers.begin(), kTransfers.end(), [&](const TransferName& t) {
    return t.kind == op.kind;
  });
  ENSURE(name != kTransfers.end());  // one stage sends nothing to another
  const bool backward = op.kind == CommKind::combine_b || op.kind == CommKind::dispatch_b;
  const bool is_dispatch = op.kind == CommKind::dispatch_f || op.kind == CommKind::combine_b;
  const LayerLoad& layer = load(backward, op.moe_index);
  BlockTime& sums = block(name->block);
  ++sums.runs;
  Tick before = 0;
  if (is_dispatch) {
    before = costs_.before_dispatch_ticks(true, backward);
    if (before > 0) add(sums, {name->before, 1, to_seconds(before), false});
  }
  add(sums, {name->wait, 1, Seconds(), true});  // as long as the timeline has it
  const Tick all = is_dispatch ? costs_.dispatch_ticks(layer, true, backward)
                               : costs_.combine_ticks(layer, true);
  add(sums, {name->rows, 1, to_seconds(all - before), false});
}

void PairSums::read_timeline(const std::vector<Span>& spans) {
  ENSURE(!spans.empty());
  Tick first = spans.front().start, last = spans.front().end;
  for (std::size_t i = 0; i < spans.size(); ++i) {
    const Span& span = spans[i];
    first = std::min(first, span.start);
    last = std::max(last, span.end);
    if (span.name == "chunk start") continue;
    const Seconds time = to_seconds(span.end - span.start);
    if (is_wait(span)) {  // for the transfer that follows it
      ENSURE(i + 1 < spans.size());
      BlockTime& waits = block(block_of(spans[i + 1]));
      for (const TransferName& name : kTransfers)
        if (waits.name == name.block) add(waits, {name.wait, 0, time, true});
      waits.wall += time;
    } else {
      block(block_of(span)).wall += time;
    }
  }
  times_.span = to_seconds(last - first);
}

}  // namespace

std::vector<std::string> pair_block_names() {
  std::vector<std::string> names(kBlockNames.begin(), kBlockNames.end());
  for (const TransferName& name : kTransfers) names.emplace_back(name.block);
  return names;
}

PairTimes pair_times(const Scenario& scenario, int num_threads) {
  return PairSums(scenario, num_threads).run();
}

}  // namespace moesim
