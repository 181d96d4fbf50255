// The report and the JSON document of `moesim capacity`.
#pragma once

#include <vector>

#include "model/json_writer.hpp"
#include "reports/report.hpp"
#include "sim/serving/serving_capacity.hpp"

namespace moesim {

Report capacity_report(const ServingScenario& scenario,
                       const std::vector<SloBound>& bounds,
                       const CapacityPlan& plan,
                       const std::vector<InputRow>& inputs = {});
JsonValue capacity_json(const ServingScenario& scenario,
                        const std::vector<SloBound>& bounds,
                        const CapacityPlan& plan);

}  // namespace moesim
