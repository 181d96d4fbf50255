// From options to ranks that measure: makes the ranks (threads of this process, or this process as
// one of many), finds out where they are and runs the benchmarks on all of them.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "calibrate/comm/fake_transport.hpp"
#include "calibrate/comm/results.hpp"

namespace moesim::comm {

// Runs body(bootstrap) on `size` threads, one a rank. Where ranks fail, rethrows what the lowest
// one that found something itself had to say.
void run_ranks(int size,
               Timeout timeout,
               const std::function<void(ThreadTable& table, Bootstrap& bootstrap)>& body);

struct FakeMachine {
  int ranks = 16, nodes = 2;
  FakeRates rates;
  FakeFault fault = FakeFault::none;
};

// Describes the run for the file of points, once it is known who takes part.
using DescribeRun = std::function<PointRun(const Transport& transport, const RankMap& map)>;

// All ranks in this process.
void run_on_fake(const FakeMachine& machine,
                 const CommOptions& options,
                 Timeout timeout,
                 PointResults& results,
                 const DescribeRun& describe);

struct NcclMachine {
  std::string cuda_library, nccl_library;  // empty: the usual names
  Launch launch;
};

// This process's rank; where nobody launched it, a thread for every visible GPU. Only where this
// returns true are there results: rank 0 is here.
bool run_on_nccl(const NcclMachine& machine,
                 const CommOptions& options,
                 Timeout timeout,
                 PointResults& results,
                 const DescribeRun& describe);

// Everything, small, on several fake machines; then that each fault is noticed. A text for the
// reader; std::logic_error where a fault goes unseen.
std::string selftest_on_fake(const FakeRates& rates, Timeout timeout);
CommOptions small_options();

// Ranks that are processes, and nothing but the bootstrap: everyone meets, large texts go round,
// and the table of ranks and hosts is what rank 0 returns; the others return nothing.
std::string selftest_bootstrap(const Launch& launch, Timeout timeout);

// The environment's NCCL_* variables, by name.
JsonValue nccl_variables();

}  // namespace moesim::comm
