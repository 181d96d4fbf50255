// moesim capacity SCENARIO --slo BOUNDS: the fewest GPUs that hold a service level.
#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <memory>

#include "reports/commands/run_options.hpp"
#include "reports/format.hpp"
#include "reports/inputs.hpp"
#include "reports/serving/capacity_report.hpp"

namespace moesim {
namespace {

struct Options {
  std::string scenario, slo, output_folder;
  std::vector<std::string> settings;
  std::int64_t budget = 200, sweep = 2;
};

int capacity(const Options& options, const CommandContext& context) {
  const Settings settings = settings_of(options.settings, context);
  if (!is_serving_scenario(options.scenario))
    throw InputError(options.scenario, "not a serving scenario: it has no \"serving\"");
  const ServingScenario scenario = read_serving_scenario(options.scenario, settings);
  if (options.slo.empty() && scenario.measure.slo.empty())
    throw InputError("--slo", "missing, and the scenario's \"measure\" has no \"slo\" either");
  const std::vector<SloBound> bounds =
      options.slo.empty() ? parse_slo(scenario.measure.slo, scenario.measure.slo_place)
                          : parse_slo(options.slo);
  make_output_folder(options.output_folder);
  Progress progress(context.common.quiet);
  progress("searching");
  const auto start = std::chrono::steady_clock::now();
  CapacityPlan plan;
  try {
    plan = plan_capacity(
        scenario, bounds, {context.common.num_threads(), options.budget, options.sweep});
  } catch (const InputError& error) {  // it knows the field, not the file
    throw InputError(options.scenario, error.what());
  }
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  std::vector<InputRow> inputs;
  if (!options.output_folder.empty())
    inputs = input_rows(compose_document(options.scenario, settings),
                        std::filesystem::path(options.scenario).parent_path());
  deliver(capacity_report(scenario, bounds, plan, inputs),
          capacity_json(scenario, bounds, plan),
          options.output_folder,
          context);
  if (!context.common.quiet && plan.num_simulated > 0) {
    const auto requests = static_cast<double>(plan.num_simulated);
    std::cerr << "simulated " << plan.search.evaluated.size() << " configurations, "
              << format_count(requests) << " requests, in " << format_seconds(wall.count()) << ": "
              << format_count(requests / wall.count()) << " requests per wall second\n";
  }
  return plan.search.best ? kDone : kInfeasible;
}

}  // namespace

void add_capacity_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("capacity", "The fewest GPUs that hold a service level for requests");
  command->footer(
      "Examples:\n  moesim capacity scenarios/azure-conversation-h200.jsonc --slo "
      "\"p99_ttft<2s,p99_tpot<50ms\"\n"
      "  moesim capacity scenarios/azure-conversation-h200.jsonc --set "
      "/requests/trace/rate_scale=4 --json");
  command->add_option("scenario", options->scenario, "A serving scenario with requests")
      ->required();
  command->add_option(
      "--slo",
      options->slo,
      "Bounds, such as \"p99_ttft<2s,p99_tpot<50ms\" (default: the scenario's own)");
  add_output_option(*command, options->output_folder);
  add_set_option(*command, options->settings);
  command->add_option("--budget", options->budget, "Simulations at most (default 200)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 20));
  command
      ->add_option("--sweep",
                   options->sweep,
                   "Numbers of prefill units to look at on each side of the answer (default 2)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1000}));
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] { return capacity(*options, context); };
  });
}

}  // namespace moesim
