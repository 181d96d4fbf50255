// A PyTorch-profiler trace (Kineto's Chrome JSON), scanned where it lies: a training step has a
// million events, of which the few that matter here become values and the rest is stepped over.
// Times are in microseconds, as the Chrome trace format has them.
//
// Left out: everything but what runs on the GPU, its launches, annotations and the name of the
// first device.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace moesim {

struct TraceKernel {
  std::string name;
  std::optional<std::array<std::int64_t, 3>> grid;
  double start_us = 0, duration_us = 0;
  std::optional<std::int64_t> correlation;  // with its launch
  std::string place;                        // "file: event 12", counted from 1
};

struct TraceLaunch {
  double start_us;
  std::string thread;
};

struct TraceAnnotation {
  std::string name, thread;
  double start_us, end_us;
};

struct ProfilerTrace {
  std::vector<TraceKernel> kernels;            // in file order
  std::vector<TraceKernel> memory_operations;  // copies and fills by the driver, in file order
  std::vector<TraceAnnotation> annotations;
  std::unordered_map<std::int64_t, TraceLaunch> launches;  // by correlation
  std::string device;                                      // empty where it is not named
};

// Refuses what is compressed, cut off, without "traceEvents", and kernels without a name or with a
// time that is missing or negative.
ProfilerTrace read_profiler_trace(const std::filesystem::path& path);

// A kernel's name on one line of at most 160 letters. Names of templates run to thousands, and tell
// their kernels apart late.
std::string short_kernel_name(const std::string& name);

}  // namespace moesim
