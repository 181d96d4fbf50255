// How sure a run is: 90 % intervals of its numbers from the errors of the calibration profile.
//
// Method. Every source of error (sim/error_sources) is moved to both ends of its 90 % interval, one
// at a time, and the step is simulated again. For each number of the run the deviations, upwards
// and downwards apart, are added in quadrature: sources are independent. What comes out is first
// order in the errors (two sources that are off together may do more, or less, than the root of the
// squares) but goes through the whole simulation for each of them, so what hides behind something
// else counts for nothing, and a source that becomes the critical path counts for all it costs.
//
// Only the first phase is simulated again. The steps of later phases and of the ramp are scaled by
// the relative change of its step. A run of many different ranks is not repeated: its first phase
// with balanced routing, one rank standing for all of a stage, gives the relative changes. For
// DeepSeek-V3 on 2,048 GPUs with equally popular experts they are those of the whole simulation
// within 5 %, but for the fast end of the output head's GEMMs (17 %), which is off the critical
// path. When every sequence has experts of its own, changes for the slower are up to a quarter too
// small, and communication beside compute counts for nothing instead of 0.3 % of a step.
// tests/unit/test_uncertainty.cpp compares both on a small cluster.
//
// Left out: what does not come from the profile. Randomness of routing, popularity of experts,
// facts about the network and its contention (factors of the run itself are kept), schedules and
// rules of the model (that is what `moesim validate` is for), failures, prices. An interval is
// therefore how far the calibration can be wrong, not how far the model can be.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/error_sources.hpp"
#include "sim/run.hpp"

namespace moesim {

struct Interval {
  double low = 0, high = 0;
  bool contains(double value) const { return value >= low && value <= high; }
};

// The two ends of every source, as any number of a prediction takes them: [source][fast, slow].
using EndValues = std::vector<std::array<double, 2>>;
Interval combined(double value, const EndValues& ends);

// The scenario with one source of its profile moved; the profile is that of the scenario's GPU
// (model/profile_transfer), as are the sources.
std::vector<ErrorSource> error_sources(const Scenario& scenario);
Scenario perturbed(const Scenario& scenario, const ErrorSource& source, double sign);

struct SourceEffect {
  std::string source;
  double half_width = 0;   // 90 %, as a fraction; of kernels: of the time they take in this run
  std::string basis;       // held_out, in_sample, stated (model/profile); roofline: no measurement
  Seconds faster, slower;  // what the step changes at the fast and at the slow end
};

struct Uncertainty {
  bool from_balanced = false;         // the run itself would have been too large
  std::vector<SourceEffect> effects;  // largest first; kernels that no operation uses are not here
  // The run at both ends of every source, without its timelines: what reports read of it.
  std::vector<std::array<RunResult, 2>> ends;
};

// "" or why a run that was simulated gets no intervals: its step is too large to be repeated some
// twenty times.
std::string uncertainty_refusal(const RunResult& run);

// Nothing where that is refused or the first phase was not simulated. The result does not depend on
// num_threads.
std::optional<Uncertainty> uncertainty_of(const Scenario& scenario,
                                          const RunResult& run,
                                          int num_threads);

// Of a number of the run that cannot be negative.
Interval interval_of(const RunResult& run,
                     const Uncertainty& uncertainty,
                     const std::function<double(const RunResult&)>& number);

}  // namespace moesim
