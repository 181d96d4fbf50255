// The report and the JSON document of a serving run (docs/serving.md). Sections read a finished run
// and never compute physics.
#pragma once

#include <optional>
#include <vector>

#include "reports/known_figures.hpp"
#include "reports/report.hpp"
#include "sim/routing_picture.hpp"
#include "sim/serving/load_curve.hpp"
#include "sim/serving/serving_uncertainty.hpp"

namespace moesim {

struct ServingVariantResult {
  const Variant* variant = nullptr;
  ServingRun run;
};

struct ServingReportInput {
  const ServingScenario& scenario;
  const ServingRun& run;
  const std::optional<ServingUncertainty>& uncertainty;
  std::vector<KnownRow> known;
  std::vector<ServingVariantResult> variants;
  // For reports that are written to files; else empty.
  std::vector<InputRow> inputs = {};
  std::optional<LoadCurve> load = {};
  std::string no_load_curve = {};  // why there is none, where one was wanted
  std::vector<std::optional<RoutingPicture>> routing = {};  // [pool]
};

Report make_report(const ServingReportInput& input);

// The document of `moesim run --json`. Without an uncertainty it has no intervals.
JsonValue serving_json(const ServingScenario& scenario,
                       const ServingRun& run,
                       const std::optional<ServingUncertainty>& uncertainty);

}  // namespace moesim
