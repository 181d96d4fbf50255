#include "reports/sweep/point_result.hpp"

#include <algorithm>

#include "model/composed_scenario.hpp"
#include "reports/format.hpp"
#include "reports/report.hpp"
#include "reports/serving/serving_report.hpp"

namespace moesim {
namespace {

// A warning without its remedy, which speaks of tables that a sweep does not have.
std::string first_reason(bool feasible, const std::vector<std::string>& warnings) {
  if (feasible) return "";
  ENSURE(!warnings.empty());  // what makes a result infeasible is the first of them
  return warnings.front().substr(0, warnings.front().find("; "));
}

// The phase that cannot be run or does not fit, else what stops the whole run.
std::string reason_of(const Scenario& scenario, const RunResult& run) {
  for (const PhaseResult& phase : run.phases) {
    if (!phase.refusal.empty()) return phase.phase.name + ": " + phase.refusal;
    if (phase.fits) continue;
    Bytes needed;
    for (const RankMemory& rank : phase.memory) needed = std::max(needed, rank.total());
    return phase.phase.name + ": does not fit in memory: needs " + format_bytes(needed) + " of " +
           format_bytes(scenario.cluster.gpu.hbm);
  }
  return first_reason(run.feasible, run.warnings);
}

// Variants are copies of the scenario to compare with: of no use to a point, and reading them costs
// as much as the rest.
JsonNode without_variants(JsonNode document) {
  std::erase_if(document.members, [](const auto& member) { return member.first == "variants"; });
  return document;
}

}  // namespace

PointResult point_result(const JsonNode& document,
                         const std::filesystem::path& folder,
                         bool main_phase_only) {
  const JsonNode read = without_variants(document);
  if (read.find("serving") != nullptr) {
    const ServingScenario scenario = read_serving_scenario(read, folder);
    const ServingRun run = run_serving(scenario, {1, {}, {}});
    return {run.feasible,
            first_reason(run.feasible, run.warnings),
            metrics_of(serving_json(scenario, run, {}))};
  }
  const Scenario scenario = read_scenario(read);
  RunOptions options;
  options.main_phase_only = main_phase_only;
  const RunResult run = run_scenario(scenario, options);
  return {run.feasible, reason_of(scenario, run), metrics_of(run_json(scenario, run, {}))};
}

}  // namespace moesim
