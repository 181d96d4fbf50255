#include "reports/result.hpp"

#include "reports/report.hpp"
#include "reports/serving/serving_report.hpp"

namespace moesim {
namespace {

void add_numbers(const JsonValue& value, const std::string& name, std::vector<NamedNumber>& found) {
  if (const auto number = value.number()) found.push_back({name, *number});
  if (const JsonValue::Object* object = value.members())
    for (const auto& [key, member] : *object)
      add_numbers(member, name.empty() ? key : name + "/" + key, found);
}

}  // namespace

JsonValue result_document(const std::filesystem::path& path,
                          const Settings& settings,
                          const ResultOptions& options) {
  if (is_serving_scenario(path)) {
    const ServingScenario scenario = read_serving_scenario(path, settings);
    const ServingRun run = run_serving(scenario, {options.num_threads, {}, {}});
    std::optional<ServingUncertainty> uncertainty;
    if (options.intervals) uncertainty = serving_uncertainty_of(scenario, run, options.num_threads);
    return serving_json(scenario, run, uncertainty);
  }
  const Scenario scenario = read_scenario(path, settings);
  RunOptions run_options;
  run_options.simulation.num_threads = options.num_threads;
  run_options.main_phase_only = options.main_phase_only;
  const RunResult run = run_scenario(scenario, run_options);
  std::optional<Uncertainty> uncertainty;
  if (options.intervals) uncertainty = uncertainty_of(scenario, run, options.num_threads);
  return run_json(scenario, run, uncertainty);
}

std::vector<NamedNumber> metrics_of(const JsonValue& document) {
  std::vector<NamedNumber> found;
  if (const JsonValue::Object* members = document.members())
    for (const auto& [key, value] : *members)
      if (key == "metrics") add_numbers(value, "", found);
  return found;
}

}  // namespace moesim
