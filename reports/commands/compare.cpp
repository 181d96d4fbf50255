// moesim compare A [B]: two results, their differences explained.
#include <CLI/CLI.hpp>
#include <memory>

#include "reports/commands/run_options.hpp"
#include "reports/comparison.hpp"

namespace moesim {
namespace {

struct Options {
  std::string output_folder, a, b, metric;
  std::vector<std::string> settings, settings_of_b;
  bool one_at_a_time = false;
};

int compare_command(const Options& options, const CommandContext& context) {
  if (options.b.empty() && options.settings_of_b.empty())
    throw InputError("moesim compare", "expected a second file, or --set-b to change the first");
  ComparisonRequest request;
  request.paths = {options.a, options.b.empty() ? options.a : options.b};
  request.settings[0] = settings_of(options.settings, context);
  request.settings[1] = request.settings[0];
  for (const std::string& text : options.settings_of_b)
    request.settings[1].push_back(parse_setting(text, "--set-b"));
  request.metric = options.metric;
  request.one_at_a_time = options.one_at_a_time;
  request.num_threads = context.common.num_threads();
  make_output_folder(options.output_folder);
  Progress progress(context.common.quiet);
  request.progress = [&progress](const std::string& what) { progress(what); };
  const ResultComparison comparison = compare_results(request);
  deliver(
      comparison_report(comparison), comparison_json(comparison), options.output_folder, context);
  return kDone;
}

}  // namespace

void add_compare_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "compare", "Two results next to each other, with their differences explained");
  command->footer(
      "Examples:\n  moesim compare scenarios/deepseek-v3-pretrain.jsonc "
      "--set-b /plan/schedule=1f1b\n"
      "  moesim compare before/report.json after/report.json --json");
  command->add_option("a", options->a, "A scenario, or a result of moesim run --json")->required();
  command->add_option("b", options->b, "Another (default: the first, with --set-b)");
  command
      ->add_option(
          "--set-b", options->settings_of_b, "As --set, for the second only (may be repeated)")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--metric",
                      options->metric,
                      "What each difference alone is shown for (default: step time, mean TPOT)");
  command->add_flag("--one-at-a-time",
                    options->one_at_a_time,
                    "Simulate each difference alone however many there are (of more than 8)");
  add_set_option(*command, options->settings);
  add_output_option(*command, options->output_folder);
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] { return compare_command(*options, context); };
  });
}

}  // namespace moesim
