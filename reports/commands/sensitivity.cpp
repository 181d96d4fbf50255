// moesim sensitivity SCENARIO: what a number of the result depends on, most first.
#include "reports/sensitivity.hpp"

#include <CLI/CLI.hpp>
#include <memory>

#include "model/uncertain_inputs.hpp"
#include "reports/commands/run_options.hpp"

namespace moesim {
namespace {

struct Options {
  std::string output_folder, scenario, metric, by = "10%";
  std::vector<std::string> settings;
  std::size_t top = 15;
};

int sensitivity(const Options& options, const CommandContext& context) {
  make_output_folder(options.output_folder);
  Progress progress(context.common.quiet);
  const SensitivityResult result =
      sensitivity_of({options.scenario,
                      settings_of(options.settings, context),
                      options.metric,
                      parse_percentage(options.by, "--by"),
                      context.common.num_threads(),
                      [&progress](const std::string& what) { progress(what); }});
  deliver(sensitivity_report(result, options.top),
          sensitivity_json(result),
          options.output_folder,
          context);
  return kDone;
}

}  // namespace

void add_sensitivity_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "sensitivity", "Rank what a result depends on: every input and every calibration error");
  command->footer(
      "Examples:\n  moesim sensitivity scenarios/deepseek-v3-pretrain.jsonc\n"
      "  moesim sensitivity scenarios/azure-conversation-h200.jsonc --metric p99_ttft --by 20% "
      "--json");
  command->add_option("scenario", options->scenario, "A scenario file")->required();
  command->add_option(
      "--metric",
      options->metric,
      "A number of the result, such as step_time or p99_ttft (default: step time, mean TPOT)");
  command->add_option(
      "--by", options->by, "Assumed for inputs whose uncertainty nobody states (default 10%)");
  command->add_option("--top", options->top, "Rows to show (default 15)")
      ->check(CLI::Range(1, 1000));
  add_set_option(*command, options->settings);
  add_output_option(*command, options->output_folder);
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] { return sensitivity(*options, context); };
  });
}

}  // namespace moesim
