// moesim run SCENARIO, where the scenario is one of serving.
#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>

#include "reports/commands/run_options.hpp"
#include "reports/format.hpp"
#include "reports/inputs.hpp"
#include "reports/serving/serving_report.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

// Options of a training step's simulation.
void refuse_training_options(const RunArguments& arguments) {
  const auto refuse = [&](const char* option) {
    throw InputError(option,
                     arguments.scenario + " is a serving scenario; this option is for training");
  };
  if (!arguments.trace_file.empty()) refuse("--trace");
  if (!arguments.trace_ranks.empty()) refuse("--trace-ranks");
  if (arguments.no_folding) refuse("--no-folding");
  if (arguments.explain) refuse("--explain");
}

std::vector<KnownRow> known_rows(const fs::path& path,
                                 const ServingReportInput& input,
                                 int num_threads) {
  const std::string name = path.filename().string();
  FigureEvaluator evaluator(path.parent_path(), num_threads);
  evaluator.add_run(name, input.scenario, input.run, input.uncertainty);
  return evaluator.rows_about(name);
}

// What is worth its time only in a report that is kept.
void add_curves(ServingReportInput& input, const ServingRunOptions& options) {
  const auto& pools = input.scenario.serving.pools;
  for (std::size_t i = 0; i < pools.size(); ++i)
    input.routing.push_back(
        input.run.routing
            ? routing_picture(input.scenario.model, pools[i], input.run.routing->pools[i])
            : std::nullopt);
  if (input.run.runs.empty()) return;
  if (input.run.runs.front().simulated > kMostRequestsForCurve) {
    input.no_load_curve =
        std::to_string(input.run.runs.front().simulated) + " requests, of which no more than " +
        std::to_string(kMostRequestsForCurve) +
        " are served again at a dozen loads; a shorter \"duration\" or \"window\" shows the curve";
    return;
  }
  options.progress("loads");
  input.load = load_curve(input.scenario, input.run.pools, options.num_threads);
}

// Not part of the report, which is the same every time.
void tell_speed(const ServingRun& run, double wall_s) {
  double requests = 0;
  for (const SeedRun& of_seed : run.runs) requests += static_cast<double>(of_seed.simulated);
  if (requests == 0) return;
  std::cerr << "simulated " << format_count(requests) << " requests in " << format_seconds(wall_s)
            << ": " << format_count(requests / wall_s) << " requests per wall second\n";
}

}  // namespace

int run_serving_command(const RunArguments& arguments, const CommandContext& context) {
  refuse_training_options(arguments);
  const fs::path path = arguments.scenario;
  const Settings settings = settings_of(arguments.settings, context);
  const ServingScenario scenario = read_serving_scenario(path, settings);
  check_variants(arguments, context, scenario.variants);
  make_output_folder(arguments.output_folder);
  Progress progress(context.common.quiet);
  ServingRunOptions options;
  options.num_threads = context.common.num_threads();
  options.progress = [&progress](const std::string& what) { progress(what); };

  const auto start = std::chrono::steady_clock::now();
  const ServingRun run = run_serving(scenario, options);
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  progress("intervals");
  const std::optional<ServingUncertainty> uncertainty =
      serving_uncertainty_of(scenario, run, options.num_threads);
  ServingReportInput input{scenario, run, uncertainty, {}, {}};
  if (arguments.variants)
    for (const Variant& variant : scenario.variants) {
      progress("variant: " + variant.name);
      Settings changed = settings;
      changed.insert(changed.end(), variant.set.begin(), variant.set.end());
      input.variants.push_back(
          {&variant,
           run_serving(read_serving_scenario(path, changed), {options.num_threads, {}, {}})});
    }
  // A changed scenario is not the published one.
  if (arguments.settings.empty() && run.feasible)
    input.known = known_rows(path, input, options.num_threads);
  if (!arguments.output_folder.empty()) {
    input.inputs = input_rows(compose_document(path, settings), path.parent_path());
    add_curves(input, options);
  }
  deliver(make_report(input),
          serving_json(scenario, run, uncertainty),
          arguments.output_folder,
          context);
  if (!context.common.quiet) tell_speed(run, wall.count());
  return run.feasible ? kDone : kInfeasible;
}

}  // namespace moesim
