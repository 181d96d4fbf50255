// Kernel times out of a PyTorch-profiler trace, by a mapping file (trace_mapping.hpp). All calls of
// one operation, shape and SM count are the repeats of one point: median, p10 and p90. What was in
// L2 is unknown (Point::warm), what ran beside is what the mapping says.
//
// Left out: shapes, which a trace does not hold; time between kernels.
#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "calibrate/import/formats.hpp"
#include "calibrate/import/trace_mapping.hpp"
#include "model/json_message.hpp"
#include "model/profiler_trace.hpp"
#include "model/trace_annotations.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

struct Repeats {
  std::vector<double> times_us;
  std::string place;  // of the first
};
using Key = std::tuple<std::size_t, Shape, std::vector<std::int64_t>, std::int64_t, bool>;

class TraceImport {
 public:
  TraceImport(const fs::path& file, const ImportOptions& options, const GpuSpec& gpu)
      : file_(one_line(file.string())), trace_(read_profiler_trace(file)), annotations_(trace_) {
    if (options.mapping.empty())
      throw InputError("--map", "a trace names kernels, not shapes; expected a mapping file");
    mappings_ = read_kernel_mapping(options.mapping);
    if (!trace_.device.empty()) check_device(trace_.device, gpu, file_);
    if (trace_.kernels.empty()) throw InputError(file_, "has no kernel events");
  }
  Imported read();

 private:
  const KernelMapping* mapping_of(const TraceKernel& kernel);
  bool matches(std::size_t index, const TraceKernel& kernel);
  void add_points();
  void refuse_unused() const;
  void tell_unmapped();

  std::string file_;
  ProfilerTrace trace_;
  TraceAnnotations annotations_;
  std::vector<KernelMapping> mappings_;
  Imported imported_;

  std::map<std::string, std::vector<std::size_t>> name_to_mappings_;
  std::map<std::pair<std::size_t, const TraceAnnotation*>, std::int64_t> seen_;
  std::vector<bool> used_;
  std::map<Key, Repeats> repeats_;
  std::map<std::string, std::pair<double, std::size_t>> unmapped_;  // time in us, calls
};

Imported TraceImport::read() {
  used_.assign(mappings_.size(), false);
  // In the order of their launches, which "nth" counts in.
  std::vector<const TraceKernel*> order;
  for (const TraceKernel& k : trace_.kernels) order.push_back(&k);
  std::stable_sort(order.begin(), order.end(), [&](const auto* a, const auto* b) {
    return annotations_.launch_us(*a) < annotations_.launch_us(*b);
  });
  for (const TraceKernel* kernel : order) {
    const KernelMapping* const m = mapping_of(*kernel);
    if (m == nullptr) {
      auto& [time_us, calls] = unmapped_[kernel->name];
      time_us += kernel->duration_us;
      ++calls;
      continue;
    }
    const auto first = static_cast<std::size_t>(
        std::find_if(mappings_.begin(),
                     mappings_.end(),
                     [&](const KernelMapping& other) { return other.of == m->of; }) -
        mappings_.begin());
    Repeats& repeats = repeats_[{first, m->shape, m->counts, m->sms, m->beside_communication}];
    if (repeats.times_us.empty()) repeats.place = kernel->place;
    repeats.times_us.push_back(kernel->duration_us);
  }
  refuse_unused();
  add_points();
  tell_unmapped();
  imported_.details.emplace_back("statistic", "median of the calls in the trace");
  if (!trace_.device.empty()) imported_.details.emplace_back("device", trace_.device);
  return std::move(imported_);
}

const KernelMapping* TraceImport::mapping_of(const TraceKernel& kernel) {
  auto [it, is_new] = name_to_mappings_.try_emplace(kernel.name);
  if (is_new)
    for (std::size_t i = 0; i < mappings_.size(); ++i)
      if (mappings_[i].kernel.matches_name(kernel.name)) it->second.push_back(i);
  const KernelMapping* found = nullptr;
  for (const std::size_t i : it->second) {
    if (!matches(i, kernel)) continue;
    if (found != nullptr)
      throw InputError(mappings_[i].place,
                       "matches kernel " + in_quotes(kernel.name) + ", and so does " +
                           found->place + "; expected one");
    found = &mappings_[i];
    used_[i] = true;
  }
  return found;
}

bool TraceImport::matches(std::size_t index, const TraceKernel& kernel) {
  const KernelMapping& m = mappings_[index];
  if (!m.kernel.matches_grid(kernel)) return false;
  if (m.annotation.empty()) return true;
  const TraceAnnotation* const around = annotations_.around(kernel, m.annotation);
  if (around == nullptr) return false;
  return !m.nth || ++seen_[{index, around}] == *m.nth;
}

void TraceImport::refuse_unused() const {
  for (std::size_t i = 0; i < mappings_.size(); ++i) {
    if (used_[i]) continue;
    const KernelMapping& m = mappings_[i];
    const bool no_annotation = !m.annotation.empty() && !annotations_.has(m.annotation);
    throw InputError(
        m.place,
        no_annotation
            ? "there is no annotation " + in_quotes(m.annotation) + " in " + file_
            : "no kernel of " + file_ + " matches " + in_quotes(m.kernel.text) +
                  (m.kernel.grid || !m.annotation.empty() ? " with this grid and place" : ""));
  }
}

// Profilers of some versions round to whole microseconds: a call of 0 is a short one, a median of 0
// is no measurement.
void TraceImport::add_points() {
  for (auto& [key, repeats] : repeats_) {
    const auto& [first, shape, counts, sms, beside] = key;
    std::vector<double>& t = repeats.times_us;
    std::sort(t.begin(), t.end());
    const std::size_t n = t.size();
    const double median_us = n % 2 == 1 ? t[n / 2] : (t[n / 2 - 1] + t[n / 2]) / 2;
    Point point = imported_point(mappings_[first].of->op,
                                 shape,
                                 checked_time(median_us, us, "the median", repeats.place),
                                 repeats.place);
    point.counts = counts;
    point.sms = sms;
    point.beside_communication = beside;
    point.warm->repeats = static_cast<std::int64_t>(n);
    if (n > 1) {
      const auto last = static_cast<double>(n - 1);
      const double p10 = t[static_cast<std::size_t>(std::floor(0.1 * last))],
                   p90 = t[static_cast<std::size_t>(std::ceil(0.9 * last))];
      if (p10 > 0) point.warm->p10 = p10 * us;
      point.warm->p90 = p90 * us;
    }
    imported_.points.push_back(std::move(point));
  }
}

void TraceImport::tell_unmapped() {
  constexpr std::size_t kMostTold = 10;
  double total_us = 0, unmapped_us = 0;
  std::size_t calls = 0;
  for (const TraceKernel& k : trace_.kernels) total_us += k.duration_us;
  std::vector<std::pair<double, std::string>> largest;
  for (const auto& [name, sum] : unmapped_) {
    unmapped_us += sum.first;
    calls += sum.second;
    largest.emplace_back(sum.first,
                         std::to_string(static_cast<std::int64_t>(std::llround(sum.first))) +
                             " us in " + std::to_string(sum.second) +
                             " calls: " + short_kernel_name(name));
  }
  if (largest.empty()) return;
  std::stable_sort(largest.begin(), largest.end(), [](const auto& a, const auto& b) {
    return a.first > b.first;
  });
  imported_.remarks.push_back(
      std::to_string(calls) + " of " + std::to_string(trace_.kernels.size()) +
      " kernels are not mapped, " +
      std::to_string(static_cast<std::int64_t>(std::llround(unmapped_us))) + " of " +
      std::to_string(static_cast<std::int64_t>(std::llround(total_us))) + " us; the largest:");
  for (std::size_t i = 0; i < std::min(kMostTold, largest.size()); ++i)
    imported_.remarks.push_back("  " + largest[i].second);
}

Imported read_trace(const fs::path& file, const ImportOptions& options, const GpuSpec& gpu) {
  return TraceImport(file, options, gpu).read();
}

}  // namespace

const ImportFormat kTraceFormat = {"trace",
                                   "PyTorch-profiler trace, with a mapping of kernels (--map)",
                                   {},
                                   false,
                                   false,
                                   true,
                                   read_trace};

}  // namespace moesim
