// How sure a serving run is: as sim/uncertainty does it for a training step, every source of error
// of the profiles is moved to both ends of its 90 % interval, one at a time, in all pools together,
// and the whole run is made again with the same requests.
//
// Left out: what does not come from a profile (lengths, popularity of experts, host time), and for
// requests the noise of their own randomness, which several seeds show.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "sim/error_sources.hpp"
#include "sim/serving/run_serving.hpp"
#include "sim/uncertainty.hpp"

namespace moesim {

struct ServingUncertainty {
  std::vector<std::string> sources;
  std::vector<std::array<ServingRun, 2>> ends;  // [source][fast, slow]
};

// More requests are not served again twenty times.
inline constexpr std::int64_t kMostRequestsForIntervals = 50'000;

// Nothing for a run with too many requests. Independent of num_threads.
std::optional<ServingUncertainty> serving_uncertainty_of(const ServingScenario& scenario,
                                                         const ServingRun& run,
                                                         int num_threads);

}  // namespace moesim
