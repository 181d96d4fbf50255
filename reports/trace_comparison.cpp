#include "reports/trace_comparison.hpp"

#include <algorithm>

namespace moesim {
namespace {

// The element with this name, in a list where it is called `name_of`.
template <class T, class NameOf>
std::optional<T> find_named(const std::vector<T>& list, const std::string& name, NameOf name_of) {
  const auto it =
      std::find_if(list.begin(), list.end(), [&](const T& item) { return item.*name_of == name; });
  return it == list.end() ? std::nullopt : std::optional<T>(*it);
}

// For another number of runs, each as long as the mean.
BlockTime scaled(BlockTime block, std::int64_t runs) {
  const double factor = static_cast<double>(runs) / static_cast<double>(block.runs);
  block.runs = runs;
  block.kernels *= factor;
  block.wall *= factor;
  for (OpTime& op : block.ops) {
    op.calls *= factor;
    op.time *= factor;
  }
  return block;
}

ComparedBlock compare_block(const BlockTime& simulated, const TraceTimes& trace) {
  ComparedBlock block;
  block.name = simulated.name;
  block.is_transfer = simulated.is_transfer;
  block.simulated_runs = simulated.runs;
  block.measured = find_named(trace.blocks, block.name, &TracedBlock::block);
  const std::int64_t runs = block.measured ? block.measured->occurrences : 0;
  // Of a model without experts the transfers never run.
  if (simulated.runs > 0) block.predicted = runs > 0 ? scaled(simulated, runs) : simulated;
  if (block.predicted)
    for (const OpTime& op : block.predicted->ops) block.ops.push_back({op.name, {}, op});
  if (!block.measured) return block;
  for (const TracedOp& op : block.measured->ops) {
    const auto it = std::find_if(block.ops.begin(), block.ops.end(), [&](const ComparedOp& other) {
      return other.name == op.op;
    });
    if (it != block.ops.end())
      it->measured = op.times;
    else
      block.ops.push_back({op.op, op.times, {}});
  }
  for (const UnmappedKernel& kernel : trace.unmapped)
    if (kernel.block == block.name) block.unmapped += kernel.times;
  return block;
}

// Sums over the blocks of one stream.
struct StreamSums {
  std::vector<TraceInterval> busy;
  Seconds kernels, predicted_kernels;  // waits for peers not included
  Seconds waits, predicted_waits;
};

StreamSums sums_of(const std::vector<ComparedBlock>& blocks, bool transfers) {
  StreamSums sums;
  for (const ComparedBlock& block : blocks) {
    if (block.is_transfer != transfers) continue;
    if (block.measured)
      sums.busy.insert(sums.busy.end(), block.measured->busy.begin(), block.measured->busy.end());
    sums.kernels += block.unmapped.kernels;
    for (const ComparedOp& op : block.ops) {
      const bool is_wait = op.predicted && op.predicted->is_wait;
      if (op.measured) (is_wait ? sums.waits : sums.kernels) += op.measured->kernels;
      if (op.predicted)
        (is_wait ? sums.predicted_waits : sums.predicted_kernels) += op.predicted->time;
    }
  }
  return sums;
}

// Every block that the trace tells apart ran as often as in one pair.
bool is_one_pair(const std::vector<ComparedBlock>& blocks) {
  bool any = false;
  for (const ComparedBlock& block : blocks) {
    if (!block.measured || block.measured->occurrences == 0) continue;
    if (block.measured->occurrences != block.simulated_runs) return false;
    any = true;
  }
  return any;
}

}  // namespace

std::optional<double> Compared::error_pct() const {
  if (!measured || !predicted || *measured <= Seconds() || *predicted <= Seconds())
    return std::nullopt;
  return 100 * (*predicted / *measured - 1);
}

Compared ComparedOp::time() const {
  Compared time;
  if (measured) time.measured = measured->share;
  if (predicted) time.predicted = predicted->time;
  return time;
}

Compared ComparedBlock::wall() const {
  Compared time;
  if (measured && measured->occurrences > 0) time.measured = measured->wall;
  if (predicted) time.predicted = predicted->wall;
  return time;
}

TraceComparison compare_trace(TraceTimes measured, const PairTimes& predicted) {
  TraceComparison comparison;
  comparison.measured = std::move(measured);
  const TraceTimes& trace = comparison.measured;
  if (trace.blocks.empty()) {
    comparison.pair = {{"span", "first start to last end", {trace.span, {}}}};
    return comparison;
  }
  comparison.forward_loads = predicted.forward_loads;
  comparison.backward_loads = predicted.backward_loads;
  for (const BlockTime& block : predicted.blocks)
    comparison.blocks.push_back(compare_block(block, trace));
  std::erase_if(comparison.blocks,
                [](const ComparedBlock& b) { return !b.measured && !b.predicted; });
  const StreamSums compute = sums_of(comparison.blocks, false),
                   transfers = sums_of(comparison.blocks, true);
  const Seconds busy = covered(compute.busy);
  comparison.pair = {
      {"span", "first start to last end", {trace.span, predicted.span}},
      {"compute_busy", "compute blocks busy", {busy, compute.predicted_kernels}},
      {"compute_idle",
       "no compute block busy",
       {trace.span - busy, predicted.span - compute.predicted_kernels}},
      {"transfers",
       "dispatch and combine, with layout and cast",
       {transfers.kernels, transfers.predicted_kernels}},
      {"waits", "transfers waiting for peers", {transfers.waits, transfers.predicted_waits}}};
  if (!is_one_pair(comparison.blocks))
    for (ComparedQuantity& quantity : comparison.pair) quantity.time.predicted.reset();
  return comparison;
}

}  // namespace moesim
