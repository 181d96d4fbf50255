// moesim optimize SCENARIO: the best parallel plan for a model on a cluster, or the cheapest
// deployment that serves requests within a service level.
#include <CLI/CLI.hpp>
#include <memory>

#include "reports/commands/run_options.hpp"
#include "reports/deployment_report.hpp"
#include "reports/plan_search_report.hpp"
#include "sim/plan_axes.hpp"
#include "sim/serving/deployment_axes.hpp"

namespace moesim {
namespace {

struct Options {
  std::string scenario, output_folder;
  std::vector<std::string> settings, vary, limits;
  std::string goal, slo;
  bool exhaustive = false;
  std::int64_t budget = 5000;
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

std::vector<SearchLimit> limits_of(const Options& options,
                                   const std::vector<LimitedQuantity>& known) {
  std::vector<SearchLimit> limits;
  for (const std::string& text : options.limits)
    for (SearchLimit& limit : parse_limits(text, known)) limits.push_back(std::move(limit));
  return limits;
}

int optimize_plan(const Options& options, const Settings& settings, const CommandContext& context) {
  if (!options.slo.empty())
    throw InputError("--slo", "given, but " + options.scenario + " is no serving scenario");
  SearchRequest request;
  request.scenario = options.scenario;
  request.settings = settings;
  request.limits = limits_of(options, plan_limits());
  request.goal = options.goal == "cheapest" ? PlanGoal::cheapest : PlanGoal::fastest;
  request.exhaustive = options.exhaustive;
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

int optimize_deployment(const Options& options,
                        const Settings& settings,
                        const CommandContext& context) {
  if (options.goal == "fastest")
    throw InputError("--for",
                     "\"fastest\" is for training; a serving scenario is searched for the "
                     "cheapest that keeps --slo");
  const ServingScenario scenario = read_serving_scenario(options.scenario, settings);
  if (!scenario.requests)
    throw InputError(options.scenario, "/requests: missing; deployments are searched for requests");
  if (options.slo.empty() && scenario.measure.slo.empty())
    throw InputError("--slo", "missing, and the scenario's \"measure\" has no \"slo\" either");
  DeploymentRequest request;
  request.scenario = options.scenario;
  request.settings = settings;
  request.bounds = options.slo.empty() ? parse_slo(scenario.measure.slo, scenario.measure.slo_place)
                                       : parse_slo(options.slo);
  request.limits = limits_of(options, deployment_limits());
  request.axes = serving_axes(scenario, compose_document(options.scenario, settings));
  for (const std::string& text : options.vary) vary(text, request.axes);
  request.num_best = options.num_best;
  request.budget = options.budget;
  request.exhaustive = options.exhaustive;
  request.num_threads = context.common.num_threads();
  make_output_folder(options.output_folder);
  Progress progress(context.common.quiet);
  request.progress = [&progress](const std::string& what) { progress(what); };
  const DeploymentSearch search = search_deployments(request);
  deliver(make_deployment_report(scenario, request, search),
          deployment_json(scenario, request, search),
          options.output_folder,
          context);
  return search.ranking.empty() ? kInfeasible : kDone;
}

int optimize(const Options& options, const CommandContext& context) {
  const Settings settings = settings_of(options.settings, context);
  if (is_serving_scenario(options.scenario)) return optimize_deployment(options, settings, context);
  return optimize_plan(options, settings, context);
}

}  // namespace

void add_optimize_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "optimize", "Find the best plan of a training run, or the cheapest deployment of serving");
  command->footer(
      "Training: every combination of tp, pp, ep, schedule, microbatch and recomputation (dp "
      "follows).\nServing: pools together or apart, units, batch limits and how many units of "
      "each.\nSimulated is what a proven lower bound does not leave out; the report says how much "
      "that was.\nExamples:\n  moesim optimize scenarios/deepseek-v3-pretrain.jsonc\n"
      "  moesim optimize scenarios/deepseek-v3-pretrain.jsonc --vary /cluster/num_nodes=128,256 "
      "--limit \"days<90\" --for cheapest --vary /plan/tp=1 --best 3\n"
      "  moesim optimize scenarios/azure-conversation-h200.jsonc --slo "
      "\"p99_ttft<1s,p99_tpot<60ms\" --limit \"gpus<=32\"");
  command
      ->add_option("scenario", options->scenario, "A scenario of training, or of serving requests")
      ->required();
  command
      ->add_option("--vary",
                   options->vary,
                   "Values of a field: /json/pointer=value,value (may be repeated); replaces the "
                   "choice of the same name")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  add_output_option(*command, options->output_folder);
  command
      ->add_option(
          "--limit",
          options->limits,
          "What may not be passed: \"days<60, usd<6e6, memory<70 GB\" (may be repeated); "
          "quantities: gpus, usd_per_hour; of training memory, step, days, gpu_hours, usd too")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      ->add_option("--for",
                   options->goal,
                   "What the best is: fastest (training, the default there) or cheapest")
      ->check(CLI::IsMember({"fastest", "cheapest"}));
  command->add_option(
      "--slo",
      options->slo,
      "Serving: bounds to hold, such as \"p99_ttft<2s,p99_tpot<50ms\" (default: the "
      "scenario's own)");
  command->add_option("--budget", options->budget, "Serving: simulations at most (default 5000)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 30));
  command->add_flag("--exhaustive",
                    options->exhaustive,
                    "Simulate what a bound would leave out: the same best, to check it");
  add_set_option(*command, options->settings);
  command
      ->add_option("--best",
                   options->num_best,
                   "How many to find and show; of training, to simulate as the scenario asks")
      ->check(CLI::Range(1, 1000));
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] { return optimize(*options, context); };
  });
}

}  // namespace moesim
