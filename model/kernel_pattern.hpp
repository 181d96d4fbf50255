// How a mapping file names kernels of a trace: by their name and, where that does not tell them
// apart, their grid. In a file:
//   "kernel": "cast_to_fp8",   // part of the name; between slashes, a regular expression
//   "grid": [4096, 1, 1]       // optional
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <regex>
#include <string>

#include "model/json_reader.hpp"
#include "model/profiler_trace.hpp"

namespace moesim {

struct KernelPattern {
  std::string text;
  std::optional<std::regex> expression;  // when the text stands between slashes
  std::optional<std::array<std::int64_t, 3>> grid;

  bool matches_name(const std::string& name) const;
  bool matches_grid(const TraceKernel& kernel) const { return !grid || kernel.grid == grid; }
};

// Reads these two members of a mapping's line.
KernelPattern read_kernel_pattern(ObjectReader& line);

}  // namespace moesim
