#include "calibrate/graph_timing.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"

namespace moesim {
namespace {

constexpr int kMostCold = 4, kMostWarm = 20;
constexpr Seconds kEnoughCold = 500 * us, kEnoughWarm = 5 * ms;

int calls_for(Seconds one_call, Seconds enough, int most) {
  if (!(one_call > Seconds())) return most;
  return static_cast<int>(std::clamp(std::ceil(enough / one_call), 1.0, static_cast<double>(most)));
}

Seconds median_of(std::vector<Seconds> times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace

CallsPerGraph calls_per_graph(Seconds one_call) {
  return {calls_for(one_call, kEnoughCold, kMostCold), calls_for(one_call, kEnoughWarm, kMostWarm)};
}

std::vector<Seconds> cold_times(const RunGraph& with_kernel,
                                const RunGraph& without,
                                int calls,
                                int repeats) {
  ENSURE(calls > 0 && repeats > 0);
  std::vector<Seconds> times, flushes;
  for (int i = 0; i < repeats; ++i) {
    flushes.push_back(without());
    times.push_back(with_kernel());
  }
  const Seconds flush = median_of(flushes);
  for (Seconds& t : times) t = (t - flush) / calls;
  return times;
}

std::vector<Seconds> warm_times(const RunGraph& graph, int calls, int repeats) {
  ENSURE(calls > 0 && repeats > 0);
  std::vector<Seconds> times;
  for (int i = 0; i < repeats; ++i) times.push_back(graph() / calls);
  return times;
}

}  // namespace moesim
