// Runs the points of a sweep on several threads, whoever is free taking the next: points may differ
// a thousandfold in what they cost. A point that cannot be read, run or placed in memory is a
// result with its reason; a field that no reader knows ends the sweep, for it is wrong at every
// point.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "reports/sweep/sweep_file.hpp"

namespace moesim {

struct SweepOptions {
  SweepShard shard;
  int num_threads = 1;
  std::function<void(std::size_t done, std::size_t of)> progress;  // of this call's points
  std::function<void(const SweepRow&)> finished;                   // one at a time, as they come
  const std::atomic<bool>* stop = nullptr;                         // set: begin no more points
};

struct SweepRun {
  std::vector<SweepRow> rows;  // by point
  std::size_t num_before = 0;  // finished by an earlier call
  bool stopped = false;
};

// The line of one point.
std::string sweep_line(SweepPoints& points, std::size_t point);

// With a file, points that it has are not run again, after their ids have been compared. The rows
// do not depend on the number of threads.
SweepRun run_sweep(SweepPoints& points, SweepFile* file, const SweepOptions& options);

}  // namespace moesim
