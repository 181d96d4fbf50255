// The shards of a sweep become the file that one process would have written, to the byte, and only
// where every point is there exactly once.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "reports/sweep/sweep_file.hpp"

namespace moesim {

struct SweepMerge {
  SweepHeader header;
  std::string text;  // of the whole file
  std::vector<SweepRow> rows;
};

// InputError where files are of different sweeps, one has a torn line, a point is there twice or
// not at all.
SweepMerge merge_sweep(const std::vector<std::filesystem::path>& files);

}  // namespace moesim
