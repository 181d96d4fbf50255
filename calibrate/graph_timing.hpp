// The time of a kernel from the times of whole CUDA graphs. A pair of events around one kernel is
// off by some 2 us; a graph of several, less one without it, is not.
//
//   cold   graph {flush, kernel} n times, less graph {flush} n times, by n. What the flush leaves
//          dirty in the L2 is written back while the kernel runs: that is part of being cold.
//   warm   graph of n kernels back to back, by n
//
// Both hold what a graph needs from one node to the next (about 1 us, Device::launch_overhead).
// Needs no CUDA: graphs are functions that run one and say how long it took.
#pragma once

#include <functional>
#include <vector>

#include "model/units.hpp"

namespace moesim {

// How often a kernel is in a graph: 20 times warm and 4 times cold, fewer where it takes long
// enough by itself to be timed well.
struct CallsPerGraph {
  int cold = 1, warm = 1;
};
CallsPerGraph calls_per_graph(Seconds one_call);

using RunGraph = std::function<Seconds()>;

// One time for each repeat. The graphs with and without the kernel take turns, so that both see the
// same clocks; the median of those without is what is taken off.
std::vector<Seconds> cold_times(const RunGraph& with_kernel,
                                const RunGraph& without,
                                int calls,
                                int repeats);
std::vector<Seconds> warm_times(const RunGraph& graph, int calls, int repeats);

}  // namespace moesim
