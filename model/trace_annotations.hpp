// Which annotation of the program a GPU kernel belongs to: the one its launch lies in. A profiler
// joins kernel and launch by their correlation id; the kernel itself may run long after the
// annotation has ended.
//
// Annotations belong to threads. A thread that has none of its own, as autograd's for the backward
// pass, works for one that waits inside its annotation meanwhile: there the time alone decides.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/profiler_trace.hpp"

namespace moesim {

class TraceAnnotations {
 public:
  explicit TraceAnnotations(const ProfilerTrace& trace);  // which has to outlive it
  explicit TraceAnnotations(ProfilerTrace&&) = delete;

  bool has(const std::string& name) const { return names_.contains(name); }
  // The occurrence of this annotation that the kernel's launch lies in; nullptr for none.
  const TraceAnnotation* around(const TraceKernel& kernel, const std::string& name) const;
  // When it was launched; when it ran, where the trace does not hold its launch.
  double launch_us(const TraceKernel& kernel) const;

 private:
  using Occurrences = std::vector<const TraceAnnotation*>;  // by start; they follow each other
  const TraceLaunch* launch_of(const TraceKernel& kernel) const;
  static const TraceAnnotation* around(double launch_us, const Occurrences& occurrences);

  const ProfilerTrace& trace_;
  std::map<std::string, std::map<std::string, Occurrences>> names_;  // of a name: by thread
  std::set<std::string> threads_;                                    // with annotations
};

}  // namespace moesim
