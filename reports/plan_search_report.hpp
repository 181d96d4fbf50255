// What a plan search found: the best plans, what sets them apart from the scenario's own, days
// against dollars where clusters differ, how the others were left out, and why some cannot be run.
#pragma once

#include "model/json_writer.hpp"
#include "reports/report.hpp"
#include "sim/plan_search.hpp"

namespace moesim {

Report make_plan_search_report(const Scenario& scenario, const PlanSearch& search);

// {"schema_version", "scenario", "goal", "num_plans", "num_refused", "num_too_large",
//  "num_over_limit", "num_bounded_away", "num_simulated", "num_simulated_as_asked", "best": [...],
//  "front": [...], "points": [...]}: every combination with its result, bound or reason.
JsonValue plan_search_json(const Scenario& scenario, const PlanSearch& search);

}  // namespace moesim
