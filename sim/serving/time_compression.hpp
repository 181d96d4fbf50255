// A long time by a sample of it: the load of a day in 24 / factor hours, and what follows it (scalers,
// failures, repairs) as many times as fast. Every rate is what it was, and so are units, ranks,
// steps and requests; there are fewer of the latter. Counts, times of units and the clock of the
// result are those of the whole time again; latencies are not touched.
//
// What it costs: requests in flight see the load change `factor` times as fast, so that what follows
// the load lags by more (of a factor f, about f residences of a request in a day), and counts
// scatter by sqrt(factor) as much. Two factors next to each other show how much that is.
// Rejected: fewer ranks a unit, each standing for several; the slowest of few is too fast where ranks
// wait for each other's prompts (time to first token was half of what it is with one in eight).
#pragma once

#include "model/serving/serving_scenario.hpp"
#include "sim/serving/cluster.hpp"
#include "sim/serving/serving_metrics.hpp"

namespace moesim {

// By MeasureSpec::compress_time; the scenario has requests that no trace gives times to.
ServingScenario compressed(ServingScenario scenario);
void scale_up(ServingResult& result, std::int64_t factor);
void scale_up(ServingMetrics& metrics, std::int64_t factor);

}  // namespace moesim
