#include "calibrate/check_step.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>

#include "calibrate/measure.hpp"
#include "model/op_graph.hpp"

namespace moesim {
namespace {

// Of the trace: tokens of a microbatch, experts of a rank, and the forward pass's load as its
// expert GEMMs and its permute show it. The backward half is that of the same microbatch.
constexpr std::int64_t kStepTokens = 4096, kStepExperts = 4;
constexpr RankLoad kStepLoad = {32512, 32512, 30278};

// In the order of the pass.
std::vector<Block> blocks_of(StepHalf half) {
  if (half == StepHalf::forward) return {Block::attention_f, Block::ffn_f};
  return {Block::ffn_b, Block::ffn_w, Block::attention_b, Block::attention_w};
}

OpList step_operations(const ModelSpec& model, StepHalf half) {
  ChunkShape shape;
  shape.tokens = kStepTokens;
  shape.context = kStepTokens;
  shape.local_experts = kStepExperts;
  const LayerOps layer = build_layer_ops(model, LayerKind::moe, shape, kStepLoad);
  OpList all;
  for (const Block block : blocks_of(half)) {
    const OpList& ops = layer.blocks[static_cast<std::size_t>(block)];
    all.insert(all.end(), ops.begin(), ops.end());
  }
  return all;
}

std::string_view case_name(const Op& op) {
  const bool grouped = op.kernel == Kernel::gemm_fp8 && op.gemm.groups > 1;
  return grouped ? "grouped_gemm_fp8" : kKernelNames[static_cast<std::size_t>(op.kernel)];
}

// The least whole number of rows that all of a case's checks are multiples of.
std::int64_t row_bytes(const Case& of) {
  std::int64_t bytes = 0;
  for (const Call& call : of.experiment->checks()) bytes = std::gcd(bytes, call.shape[0]);
  return bytes;
}

Seconds warm_time(PreparedCall& prepared) {
  const std::vector<Seconds> warm_ups = prepared.time(Cache::warm, kWarmUps);
  return summary(prepared.time(Cache::warm, num_repeats(warm_ups.back()))).median;
}

std::string microseconds(Seconds time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", time.in(us));
  return text;
}

std::string error_percent(Seconds predicted, Seconds measured) {
  char text[32];
  std::snprintf(text, sizeof text, "%+.1f", (predicted / measured - 1) * 100);
  return text;
}

std::string row(const StepOperation& o) {
  const Case* const of = find_case(case_name(o.op));
  std::string shape = o.call                ? shape_text(*of, o.call->shape)
                      : o.not_timed.empty() ? ""
                                            : "not timed: " + o.not_timed;
  if (o.op.launches != 1) {
    char times[32];
    std::snprintf(times, sizeof times, ", %g times", o.op.launches);
    shape += times;
  }
  return "| " + std::string(o.op.name) + " | " + std::string(case_name(o.op)) + " | " + shape +
         " | " + (o.measured ? microseconds(*o.measured) : "-") + " | " +
         microseconds(o.predicted) + " | " +
         (o.measured ? error_percent(o.predicted, *o.measured) : "-") + " |\n";
}

}  // namespace

std::optional<Call> call_of(const Op& op) {
  const Case* const of = find_case(case_name(op));
  if (of == nullptr || of->experiment == nullptr) return std::nullopt;
  const GemmShape& g = op.gemm;
  const AttentionShape& a = op.attention;
  switch (of->form) {
    case Form::gemm:
      if (of->axes.size() == 4) return Call{{g.groups, g.m, g.n, g.k}, op.counts, 0, false};
      return g.groups == 1 ? std::optional(Call{{g.m, g.n, g.k}, {}, 0, false}) : std::nullopt;
    case Form::attention:
      return Call{{a.batch, a.seq, a.prefix, a.heads, a.qk_head_dim, a.v_head_dim}, {}, 0, false};
    case Form::memory: {
      const std::int64_t bytes = row_bytes(*of);
      const double rows = std::round(op.bytes.in(B) / static_cast<double>(bytes));
      return Call{
          {std::max<std::int64_t>(1, static_cast<std::int64_t>(rows)) * bytes}, {}, 0, false};
    }
    case Form::decode:
    case Form::fixed:
    case Form::segments: break;
  }
  return std::nullopt;
}

StepCheck check_step(Device& device,
                     const ModelSpec& model,
                     const CostModel& costs,
                     std::uint64_t seed,
                     StepHalf half) {
  StepCheck check;
  std::vector<std::unique_ptr<PreparedCall>> prepared;
  std::vector<PreparedCall*> in_order;
  for (const Op& op : step_operations(model, half)) {
    StepOperation step;
    step.op = op;
    const Cost cost = costs.cost(op, {device.info().num_sms, false});
    step.predicted = cost.time;
    step.origin = cost.origin;
    const std::optional<Call> call = call_of(op);
    const Case* const of = find_case(case_name(op));
    if (call && device.can_run(*of, *call)) {
      step.call = call;
      prepared.push_back(device.prepare(*of, *call, seed));
      const double scale =
          of->form == Form::memory ? op.bytes.in(B) / static_cast<double>(call->shape[0]) : 1;
      step.measured = op.launches * scale * warm_time(*prepared.back());
      in_order.insert(in_order.end(),
                      static_cast<std::size_t>(std::lround(op.launches)),
                      prepared.back().get());
    }
    if (call && !step.call) step.not_timed = device.problem_of(*of);
    check.operations.push_back(std::move(step));
  }
  if (!in_order.empty()) check.one_stream = device.time_in_order(in_order);
  return check;
}

std::string check_step_text(const StepCheck& check) {
  std::string text =
      "| operation | kernel | timed as | measured, us | predicted, us | error, % |\n"
      "|---|---|---|---|---|---|\n";
  Seconds measured, predicted, without;
  for (const StepOperation& o : check.operations) {
    text += row(o);
    (o.measured ? predicted : without) += o.predicted;
    if (o.measured) measured += *o.measured;
  }
  if (measured > Seconds())
    text += "| all that was measured | | | " + microseconds(measured) + " | " +
            microseconds(predicted) + " | " + error_percent(predicted, measured) + " |\n";
  if (check.one_stream)
    text += "| the same in one stream | | | " + microseconds(*check.one_stream) + " | " +
            microseconds(predicted) + " | " + error_percent(predicted, *check.one_stream) + " |\n";
  return text + "\npredicted for operations that nothing was timed for: " + microseconds(without) +
         " us\n";
}

}  // namespace moesim
