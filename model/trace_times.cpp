#include "model/trace_times.hpp"

#include <algorithm>
#include <map>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "model/json_message.hpp"
#include "model/launch_alignment.hpp"
#include "model/trace_annotations.hpp"

namespace moesim {
namespace {

// Lines times kernels of one annotation: a block has hundreds of each, and the table of the
// alignment takes 16 bytes for each pair.
constexpr std::size_t kMostPairs = 10'000'000;

using Kernels = std::vector<const TraceKernel*>;

double end_us(const TraceKernel& kernel) { return kernel.start_us + kernel.duration_us; }

std::vector<TraceInterval> merged(std::vector<TraceInterval> intervals) {
  std::stable_sort(intervals.begin(), intervals.end(), [](const auto& a, const auto& b) {
    return a.start_us < b.start_us;
  });
  std::vector<TraceInterval> disjoint;
  for (const TraceInterval& interval : intervals) {
    if (disjoint.empty() || disjoint.back().end_us < interval.start_us)
      disjoint.push_back(interval);
    else
      disjoint.back().end_us = std::max(disjoint.back().end_us, interval.end_us);
  }
  return disjoint;
}

// Each kernel's part of the time in which it runs, shared evenly with those that run beside it.
std::vector<double> shares_us(const Kernels& kernels) {
  std::map<double, std::int64_t> change;  // of the number running, by time
  for (const TraceKernel* k : kernels) {
    ++change[k->start_us];
    --change[end_us(*k)];
  }
  // By time: what a kernel that had run all along would have got.
  std::map<double, double> got;
  double sum = 0, last = 0;
  std::int64_t running = 0;
  for (const auto& [at, by] : change) {
    if (running > 0) sum += (at - last) / static_cast<double>(running);
    running += by;
    last = at;
    got[at] = sum;
  }
  std::vector<double> shares;
  for (const TraceKernel* k : kernels) shares.push_back(got[end_us(*k)] - got[k->start_us]);
  return shares;
}

class Grouping {
 public:
  Grouping(const ProfilerTrace& trace, const BlockMapping& mapping)
      : trace_(trace), mapping_(mapping), annotations_(trace) {}
  TraceTimes run();

 private:
  struct Occurrence {
    const MappedBlock* block;
    Kernels kernels;
  };
  Kernels in_launch_order() const;
  std::pair<const TraceAnnotation*, const MappedBlock*> place_of(const TraceKernel& kernel) const;
  bool matches(const MappedKernel& line, const TraceKernel& kernel);
  void add_occurrence(const Occurrence& occurrence);
  void add_elsewhere(const Kernels& kernels);
  void add_op(const MappedBlock& block, const MappedKernel& line, const KernelTimes& times);
  void add_unmapped(const std::string& block, const TraceKernel& kernel, const KernelTimes& times);
  TracedBlock& traced(const std::string& block);

  const ProfilerTrace& trace_;
  const BlockMapping& mapping_;
  TraceAnnotations annotations_;
  // Regular expressions are slow, and a trace has few names.
  std::map<const MappedKernel*, std::unordered_map<std::string_view, bool>> name_matches_;
  std::map<std::tuple<std::string, std::string, std::optional<std::array<std::int64_t, 3>>>,
           KernelTimes>
      unmapped_;
  TraceTimes times_;
};

TraceTimes Grouping::run() {
  // Blocks and operations stand in the mapping's order, whatever came first in the trace.
  for (const MappedBlock& block : mapping_.blocks)
    for (const MappedKernel& line : block.kernels) add_op(block, line, {});
  std::map<std::pair<double, const TraceAnnotation*>, Occurrence> occurrences;  // by start
  Kernels elsewhere;
  double first_us = 0, last_us = 0;
  const Kernels order = in_launch_order();
  for (const TraceKernel* kernel : order) {
    first_us = kernel == order.front() ? kernel->start_us : std::min(first_us, kernel->start_us);
    last_us = kernel == order.front() ? end_us(*kernel) : std::max(last_us, end_us(*kernel));
    const auto [annotation, block] = place_of(*kernel);
    if (annotation == nullptr) {
      elsewhere.push_back(kernel);
      continue;
    }
    Occurrence& occurrence = occurrences[{annotation->start_us, annotation}];
    occurrence.block = block;
    occurrence.kernels.push_back(kernel);
  }
  times_.span = (last_us - first_us) * us;
  for (const auto& [annotation, occurrence] : occurrences) add_occurrence(occurrence);
  add_elsewhere(elsewhere);

  for (TracedBlock& block : times_.blocks) {
    std::erase_if(block.ops, [](const TracedOp& op) { return op.times.calls == 0; });
    block.busy = merged(std::move(block.busy));
    times_.all += block.times;
  }
  std::erase_if(times_.blocks, [](const TracedBlock& block) { return block.times.calls == 0; });
  times_.all += times_.outside;
  for (const auto& [key, kernel_times] : unmapped_)
    times_.unmapped.push_back({std::get<0>(key), std::get<1>(key), std::get<2>(key), kernel_times});
  std::stable_sort(times_.unmapped.begin(),
                   times_.unmapped.end(),
                   [](const UnmappedKernel& a, const UnmappedKernel& b) {
                     return a.times.kernels > b.times.kernels;
                   });
  return std::move(times_);
}

Kernels Grouping::in_launch_order() const {
  Kernels order;
  for (const TraceKernel& k : trace_.kernels) order.push_back(&k);
  for (const TraceKernel& k : trace_.memory_operations) order.push_back(&k);
  // Clocks of some profilers tick in whole microseconds; correlation ids count launches.
  const auto key = [this](const TraceKernel* k) {
    return std::pair(annotations_.launch_us(*k), k->correlation.value_or(0));
  };
  std::stable_sort(order.begin(), order.end(), [&](const TraceKernel* a, const TraceKernel* b) {
    return key(a) < key(b);
  });
  return order;
}

// The innermost of the mapping's annotations around its launch.
std::pair<const TraceAnnotation*, const MappedBlock*> Grouping::place_of(
    const TraceKernel& kernel) const {
  std::pair<const TraceAnnotation*, const MappedBlock*> place{nullptr, nullptr};
  for (const MappedBlock& block : mapping_.blocks) {
    if (block.annotation.empty()) continue;
    const TraceAnnotation* const around = annotations_.around(kernel, block.annotation);
    if (around != nullptr && (place.first == nullptr || around->start_us > place.first->start_us))
      place = {around, &block};
  }
  return place;
}

bool Grouping::matches(const MappedKernel& line, const TraceKernel& kernel) {
  if (!line.kernel.matches_grid(kernel)) return false;
  const auto [it, is_new] = name_matches_[&line].try_emplace(kernel.name);
  if (is_new) it->second = line.kernel.matches_name(kernel.name);
  return it->second;
}

void Grouping::add_occurrence(const Occurrence& occurrence) {
  const MappedBlock& block = *occurrence.block;
  const Kernels& kernels = occurrence.kernels;
  if (kernels.size() * block.kernels.size() > kMostPairs)
    throw InputError(block.place,
                     std::to_string(kernels.size()) + " kernels in one annotation " +
                         in_quotes(block.annotation) + ", and " +
                         std::to_string(block.kernels.size()) +
                         " lines; expected an annotation of one block of a layer");
  std::vector<bool> repeats, matching;  // matching: [line, kernel]
  for (const MappedKernel& line : block.kernels) {
    repeats.push_back(line.repeats);
    for (const TraceKernel* kernel : kernels) matching.push_back(matches(line, *kernel));
  }
  const auto lines =
      align_launches(repeats, kernels.size(), [&](std::size_t line, std::size_t kernel) {
        return matching[line * kernels.size() + kernel];
      });
  const std::vector<double> shares = shares_us(kernels);
  TracedBlock& sums = traced(block.block);
  double first_us = kernels.front()->start_us, last_us = first_us;
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    const TraceKernel& kernel = *kernels[i];
    const KernelTimes times{1, kernel.duration_us * us, shares[i] * us};
    first_us = std::min(first_us, kernel.start_us);
    last_us = std::max(last_us, end_us(kernel));
    sums.times += times;
    sums.busy.push_back({kernel.start_us, end_us(kernel)});
    if (lines[i])
      add_op(block, block.kernels[*lines[i]], times);
    else
      add_unmapped(block.block, kernel, times);
  }
  ++sums.occurrences;
  sums.wall += (last_us - first_us) * us;
}

// Kernels in none of the mapping's annotations: those of blocks without one are known by name and
// grid alone.
void Grouping::add_elsewhere(const Kernels& kernels) {
  const std::vector<double> shares = shares_us(kernels);
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    const TraceKernel& kernel = *kernels[i];
    const KernelTimes times{1, kernel.duration_us * us, shares[i] * us};
    bool is_mapped = false;
    for (const MappedBlock& block : mapping_.blocks) {
      if (!block.annotation.empty()) continue;
      const auto line = std::find_if(block.kernels.begin(),
                                     block.kernels.end(),
                                     [&](const MappedKernel& l) { return matches(l, kernel); });
      if (line == block.kernels.end()) continue;
      add_op(block, *line, times);
      TracedBlock& sums = traced(block.block);
      sums.times += times;
      sums.busy.push_back({kernel.start_us, end_us(kernel)});
      is_mapped = true;
      break;
    }
    if (is_mapped) continue;
    times_.outside += times;
    add_unmapped("", kernel, times);
  }
}

void Grouping::add_op(const MappedBlock& block,
                      const MappedKernel& line,
                      const KernelTimes& times) {
  std::vector<TracedOp>& ops = traced(block.block).ops;
  auto it = std::find_if(
      ops.begin(), ops.end(), [&](const TracedOp& other) { return other.op == line.op; });
  if (it == ops.end()) it = ops.insert(it, {line.op, {}});
  it->times += times;
}

void Grouping::add_unmapped(const std::string& block,
                            const TraceKernel& kernel,
                            const KernelTimes& times) {
  unmapped_[{block, kernel.name, kernel.grid}] += times;
}

TracedBlock& Grouping::traced(const std::string& block) {
  std::vector<TracedBlock>& blocks = times_.blocks;
  auto it = std::find_if(
      blocks.begin(), blocks.end(), [&](const TracedBlock& other) { return other.block == block; });
  if (it == blocks.end()) {
    it = blocks.emplace(it);
    it->block = block;
  }
  return *it;
}

}  // namespace

KernelTimes& KernelTimes::operator+=(const KernelTimes& other) {
  calls += other.calls;
  kernels += other.kernels;
  share += other.share;
  return *this;
}

TraceTimes trace_times(const ProfilerTrace& trace, const BlockMapping& mapping) {
  ENSURE(!trace.kernels.empty());
  return Grouping(trace, mapping).run();
}

std::vector<const MappedBlock*> missing_blocks(const ProfilerTrace& trace,
                                               const BlockMapping& mapping) {
  const TraceAnnotations annotations(trace);
  std::vector<const MappedBlock*> missing;
  for (const MappedBlock& block : mapping.blocks)
    if (!block.annotation.empty() && !annotations.has(block.annotation)) missing.push_back(&block);
  return missing;
}

Seconds covered(std::vector<TraceInterval> intervals) {
  double sum_us = 0;
  for (const TraceInterval& interval : merged(std::move(intervals)))
    sum_us += interval.end_us - interval.start_us;
  return sum_us * us;
}

}  // namespace moesim
