// Whole runs drawn by chance: every failure, what it takes with it and what is computed again. The
// model is that of sim/goodput, whose expectation these must have; what they add is the spread
// between runs. Repairs take exactly their time here.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sim/goodput.hpp"
#include "sim/uncertainty.hpp"

namespace moesim {

// Enough for the ends of a 90 % interval to be good to a few percent of its width.
inline constexpr std::size_t kNumSampledRuns = 2000;

// Run i depends on the seed and i alone, so the result does not depend on num_threads.
std::vector<RunTimes> sample_runs(const RunOutline& outline,
                                  std::uint64_t seed,
                                  std::size_t num_runs,
                                  int num_threads);

// From the 5 % to the 95 % quantile of a number of the sampled runs.
Interval chance_interval(const std::vector<RunTimes>& samples,
                         const std::function<double(const RunTimes&)>& number);

// 90 % interval of a number of the run's operations: what chance does to it and, where there is an
// uncertainty, what the calibration may be wrong by, in quadrature. Never negative, at most
// `highest`. The run has samples.
Interval operations_interval(
    const RunResult& run,
    const std::optional<Uncertainty>& uncertainty,
    double highest,
    const std::function<double(const OperationsResult&, const RunTimes&)>& number);

}  // namespace moesim
