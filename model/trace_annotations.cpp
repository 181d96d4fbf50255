#include "model/trace_annotations.hpp"

#include <algorithm>

namespace moesim {

TraceAnnotations::TraceAnnotations(const ProfilerTrace& trace) : trace_(trace) {
  for (const TraceAnnotation& a : trace.annotations) {
    names_[a.name][a.thread].push_back(&a);
    threads_.insert(a.thread);
  }
  for (auto& [name, threads] : names_)
    for (auto& [thread, occurrences] : threads)
      std::stable_sort(occurrences.begin(), occurrences.end(), [](const auto* a, const auto* b) {
        return a->start_us < b->start_us;
      });
}

const TraceAnnotation* TraceAnnotations::around(const TraceKernel& kernel,
                                                const std::string& name) const {
  const TraceLaunch* const launch = launch_of(kernel);
  const auto named = names_.find(name);
  if (launch == nullptr || named == names_.end()) return nullptr;
  const auto& threads = named->second;
  if (threads_.contains(launch->thread)) {
    const auto own = threads.find(launch->thread);
    return own == threads.end() ? nullptr : around(launch->start_us, own->second);
  }
  const TraceAnnotation* innermost = nullptr;
  for (const auto& [thread, occurrences] : threads) {
    const TraceAnnotation* const found = around(launch->start_us, occurrences);
    if (found != nullptr && (innermost == nullptr || found->start_us > innermost->start_us))
      innermost = found;
  }
  return innermost;
}

const TraceAnnotation* TraceAnnotations::around(double launch_us, const Occurrences& occurrences) {
  const auto next = std::upper_bound(
      occurrences.begin(), occurrences.end(), launch_us, [](double at, const auto* a) {
        return at < a->start_us;
      });
  return next == occurrences.begin() || launch_us >= next[-1]->end_us ? nullptr : next[-1];
}

double TraceAnnotations::launch_us(const TraceKernel& kernel) const {
  const TraceLaunch* const launch = launch_of(kernel);
  return launch == nullptr ? kernel.start_us : launch->start_us;
}

const TraceLaunch* TraceAnnotations::launch_of(const TraceKernel& kernel) const {
  if (!kernel.correlation) return nullptr;
  const auto it = trace_.launches.find(*kernel.correlation);
  return it == trace_.launches.end() ? nullptr : &it->second;
}

}  // namespace moesim
