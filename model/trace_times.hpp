// Where the GPU time of a profiler trace went, by a mapping of its kernels to operations
// (model/block_mapping.hpp). Nothing is dropped: every kernel, copy and fill is in exactly one
// operation or in exactly one row of what is not mapped.
//
// Kernels of one block may run at the same time (weight gradients on two streams). `kernels` sums
// their durations; `share` divides each moment evenly among the kernels of the block that run in
// it, so that the shares of a block add up to the time it was busy.
//
// Left out: what runs on the CPU; that kernels of different blocks may overlap too.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/block_mapping.hpp"
#include "model/profiler_trace.hpp"
#include "model/units.hpp"

namespace moesim {

struct KernelTimes {
  std::int64_t calls = 0;
  Seconds kernels, share;
  KernelTimes& operator+=(const KernelTimes& other);
};

struct TracedOp {
  std::string op;
  KernelTimes times;
};

struct TraceInterval {
  double start_us, end_us;
};

struct TracedBlock {
  std::string block;
  std::int64_t occurrences = 0;     // annotations with kernels; 0 where kernels stood anywhere
  KernelTimes times;                // those without a line included
  Seconds wall;                     // first start to last end, summed over the occurrences
  std::vector<TracedOp> ops;        // in the mapping's order; those found
  std::vector<TraceInterval> busy;  // in which a kernel of the block ran; disjoint, ascending
};

struct UnmappedKernel {
  std::string block;  // whose annotation it was launched in; empty: in none of the mapping's
  std::string name;
  std::optional<std::array<std::int64_t, 3>> grid;
  KernelTimes times;
};

struct TraceTimes {
  std::vector<TracedBlock> blocks;       // in the mapping's order; those with kernels
  std::vector<UnmappedKernel> unmapped;  // most time first
  KernelTimes outside;                   // of what is in no block
  KernelTimes all;
  Seconds span;  // first start to last end
};

// `trace` has kernels. Annotations that it lacks are passed over.
TraceTimes trace_times(const ProfilerTrace& trace, const BlockMapping& mapping);

// Blocks of the mapping whose annotation the trace does not have.
std::vector<const MappedBlock*> missing_blocks(const ProfilerTrace& trace,
                                               const BlockMapping& mapping);

// Time in which at least one of the intervals runs.
Seconds covered(std::vector<TraceInterval> intervals);

}  // namespace moesim
