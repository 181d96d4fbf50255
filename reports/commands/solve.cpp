// moesim solve SCENARIO --field POINTER --for BOUNDS: which value of a field makes bounds hold.
#include "reports/solve.hpp"

#include <CLI/CLI.hpp>
#include <memory>

#include "reports/commands/run_options.hpp"

namespace moesim {
namespace {

struct Options {
  std::string output_folder, scenario, field, bounds, from, to;
  std::vector<std::string> settings;
  double precision_pct = 0.1;
};

int solve_command(const Options& options, const CommandContext& context) {
  SolveRequest request;
  request.scenario = options.scenario;
  request.settings = settings_of(options.settings, context);
  request.field = options.field;
  request.bounds = options.bounds;
  if (!options.from.empty()) request.from = options.from;
  if (!options.to.empty()) request.to = options.to;
  request.precision = options.precision_pct / 100;
  request.num_threads = context.common.num_threads();
  if (options.field.empty() || options.field[0] != '/')
    throw InputError("--field " + options.field,
                     "expected a JSON pointer such as /cluster/nic_bandwidth");
  make_output_folder(options.output_folder);
  Progress progress(context.common.quiet);
  request.progress = [&progress](const std::string& what) { progress(what); };
  const SolveAnswer answer = solve_scenario(request);
  deliver(solve_report(answer), solve_json(answer), options.output_folder, context);
  return never_holds(answer) ? kInfeasible : kDone;
}

}  // namespace

void add_solve_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("solve", "Find the value of a field that makes bounds on the result hold");
  command->footer(
      "Examples:\n  moesim solve scenarios/deepseek-v3-pretrain.jsonc --field "
      "/cluster/nic_bandwidth --for \"step_time<19s\"\n"
      "  moesim solve scenarios/azure-conversation-h200.jsonc --field /requests/trace/rate_scale "
      "--from 0.5 --to 8 --for \"p99_ttft<2s,tpot<60ms\"");
  command->add_option("scenario", options->scenario, "A scenario file")->required();
  command
      ->add_option(
          "--field", options->field, "JSON pointer of the field, such as /cluster/nic_bandwidth")
      ->required();
  command
      ->add_option(
          "--for", options->bounds, "Bounds, such as \"p99_tpot<20ms\" or \"mfu_causal>40%\"")
      ->required();
  command->add_option("--from", options->from, "Least value (default: a sixteenth of the own one)");
  command->add_option("--to", options->to, "Greatest value (default: 16 times the own one)");
  command
      ->add_option("--precision", options->precision_pct, "Of the answer, in percent (default 0.1)")
      ->check(CLI::Range(1e-3, 50.0));
  add_set_option(*command, options->settings);
  add_output_option(*command, options->output_folder);
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] { return solve_command(*options, context); };
  });
}

}  // namespace moesim
