// What a plan search found: the best plans, what sets them apart from the scenario's own, and why
// the others cannot be run.
#pragma once

#include "model/json_writer.hpp"
#include "reports/report.hpp"
#include "sim/plan_search.hpp"

namespace moesim {

Report make_plan_search_report(const Scenario& scenario, const PlanSearch& search);

// {"schema_version", "scenario", "num_plans", "num_refused", "num_too_large", "best": [...],
//  "points": [...]}: every combination with its result or reason.
JsonValue plan_search_json(const Scenario& scenario, const PlanSearch& search);

}  // namespace moesim
