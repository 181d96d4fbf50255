// moesim optimize SCENARIO: the best parallel plan for a model on a cluster.
#include <CLI/CLI.hpp>
#include <memory>

#include "reports/commands/deliver.hpp"
#include "reports/plan_search_report.hpp"

namespace moesim {
namespace {

struct Options {
  std::string scenario, output_folder;
  std::vector<std::string> settings, vary;
  std::size_t num_best = 10;
};

// An axis of its own, or in place of the one of the same name.
void vary(const std::string& text, std::vector<FieldAxis>& axes) {
  FieldAxis axis = parse_axis(text);
  for (FieldAxis& known : axes)
    if (known.name == axis.name) {
      known = std::move(axis);
      return;
    }
  axes.push_back(std::move(axis));
}

int optimize(const Options& options, const CommandContext& context) {
  SearchRequest request;
  request.scenario = options.scenario;
  request.settings = parse_settings(options.settings);
  if (context.common.seed)
    request.settings.emplace_back("/seed",
                                  parse_json(std::to_string(*context.common.seed), "--seed"));
  const Scenario scenario = read_scenario(request.scenario, request.settings);
  if (scenario.phases.front().plan.schedule == ScheduleKind::overlapped_pair)
    throw InputError(options.scenario,
                     "is one pair of chunks, which has no plan to choose; expected a training run");
  request.axes = training_axes(scenario);
  for (const std::string& text : options.vary) vary(text, request.axes);
  request.num_best = options.num_best;
  request.num_threads = context.common.num_threads();
  make_output_folder(options.output_folder);
  Progress progress(context.common.quiet);
  request.progress = [&progress](const std::string& what) { progress(what); };
  const PlanSearch search = search_plans(request);
  deliver(make_plan_search_report(scenario, search),
          plan_search_json(scenario, search),
          options.output_folder,
          context);
  return search.ranking.empty() ? kInfeasible : kDone;
}

}  // namespace

void add_optimize_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("optimize", "Find the best parallel plan of a training scenario");
  command->footer(
      "Tries every combination of tp, pp, ep, schedule, microbatch and recomputation; dp follows.\n"
      "Plans that cannot be run or do not fit are listed with reasons.\n"
      "Examples:\n  moesim optimize scenarios/deepseek-v3-pretrain.jsonc\n"
      "  moesim optimize scenarios/deepseek-v3-pretrain.jsonc --vary /plan/tp=1 --vary "
      "/plan/pp=8,16 --best 3 --json");
  command->add_option("scenario", options->scenario, "A training scenario")->required();
  command
      ->add_option("--vary",
                   options->vary,
                   "Values of a field: /json/pointer=value,value (may be repeated); replaces the "
                   "choice of the same name")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_output_option(*command, options->output_folder);
  add_set_option(*command, options->settings);
  command
      ->add_option(
          "--best", options->num_best, "How many to simulate as the scenario asks and show")
      ->check(CLI::Range(1, 1000));
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] { return optimize(*options, context); };
  });
}

}  // namespace moesim
