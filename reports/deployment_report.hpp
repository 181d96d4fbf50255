// What a search of deployments found: the cheapest that hold the service level, the trade-off
// between dollars and latency, how the others were left out and why.
#pragma once

#include "model/json_writer.hpp"
#include "reports/report.hpp"
#include "sim/serving/deployment_search.hpp"

namespace moesim {

Report make_deployment_report(const ServingScenario& scenario,
                              const DeploymentRequest& request,
                              const DeploymentSearch& search);

// {"schema_version", "scenario", "bounds", "num_deployments", "counts": {outcome: n}, "num_runs",
//  "num_requests", "complete", "best": [...], "front": [...], "closest", "points": [...]}: every
// combination with its runs, its least cost or a reason.
JsonValue deployment_json(const ServingScenario& scenario,
                          const DeploymentRequest& request,
                          const DeploymentSearch& search);

}  // namespace moesim
