// moesim run SCENARIO: simulates one scenario and prints its report.
#include <CLI/CLI.hpp>
#include <memory>

#include "model/rank_grid.hpp"
#include "reports/commands/run_options.hpp"
#include "reports/inputs.hpp"
#include "reports/report.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

std::vector<VariantResult> run_variants(const fs::path& path,
                                        const Scenario& base,
                                        const Settings& settings,
                                        RunOptions options,
                                        Progress& progress) {
  options.main_phase_only = true;
  std::vector<VariantResult> results;
  for (const Variant& variant : base.variants) {
    progress("variant: " + variant.name);
    Settings changed = settings;
    changed.insert(changed.end(), variant.set.begin(), variant.set.end());
    results.push_back({&variant, run_scenario(read_scenario(path, changed), options)});
  }
  return results;
}

std::vector<KnownRow> known_rows(const fs::path& path, const ReportInput& input, int num_threads) {
  const std::string name = path.filename().string();
  FigureEvaluator evaluator(path.parent_path(), num_threads);
  evaluator.add_run(name, input.scenario, input.run, input.uncertainty);
  return evaluator.rows_about(name);
}

std::vector<std::int64_t> default_trace_ranks(
    const ParallelPlan& plan) {  // the first rank of every stage
  std::vector<std::int64_t> ranks;
  for (std::int64_t stage = 0; stage < plan.pp; ++stage)
    ranks.push_back(stage * plan.ranks_per_stage());
  return ranks;
}

std::string rank_name(const ParallelPlan& plan, std::int64_t rank) {
  const RankCoordinates c = coordinates_of(plan, rank);
  return "rank " + std::to_string(rank) + " (pp " + std::to_string(c.pp) + ", dp " +
         std::to_string(c.dp) + ", cp " + std::to_string(c.cp) +
         (plan.tp > 1 ? ", tp " + std::to_string(c.tp) : "") + ", expert group " +
         std::to_string(c.ep_group) + ", expert rank " + std::to_string(c.ep_rank) + ")";
}

int run(const RunArguments& options, const CommandContext& context) {
  const fs::path path = options.scenario;
  if (is_serving_scenario(path)) return run_serving_command(options, context);
  const Settings settings = settings_of(options.settings, context);
  const Scenario scenario = read_scenario(path, settings);
  Progress progress(context.common.quiet);

  RunOptions run_options;
  run_options.simulation.num_threads = context.common.num_threads();
  run_options.simulation.allow_folding = !options.no_folding;
  run_options.simulation.explain = options.explain;
  run_options.advise_memory = true;
  run_options.progress = [&progress](const std::string& phase) { progress("simulating " + phase); };
  const ParallelPlan& plan = scenario.phases.front().plan;
  const bool writes_files = !options.output_folder.empty();
  if (!options.trace_file.empty() || writes_files)
    run_options.simulation.timeline_ranks =
        options.trace_ranks.empty() ? default_trace_ranks(plan) : options.trace_ranks;
  for (const std::int64_t rank : options.trace_ranks)
    if (rank >= plan.world())
      throw InputError("--trace-ranks",
                       "rank " + std::to_string(rank) + " of " + std::to_string(plan.world()));
  check_variants(options, context, scenario.variants);
  make_output_folder(options.output_folder);

  const RunResult result = run_scenario(scenario, run_options);
  progress("intervals");
  const std::optional<Uncertainty> uncertainty =
      uncertainty_of(scenario, result, run_options.simulation.num_threads);
  const JsonValue document = run_json(scenario, result, uncertainty);
  ReportInput input{scenario, result, uncertainty, {}, {}};
  if (options.variants)
    input.variants = run_variants(path, scenario, settings, run_options, progress);
  // A changed scenario is not the published one.
  if (options.settings.empty() && result.phases.front().refusal.empty())
    input.known = known_rows(path, input, run_options.simulation.num_threads);
  if (writes_files) {
    input.inputs = input_rows(compose_document(path, settings), path.parent_path());
    if (result.phases.front().refusal.empty())
      input.routing =
          routing_picture(scenario, scenario.phases.front(), run_options.simulation.num_threads);
  }

  if (!options.trace_file.empty())
    write_file(options.trace_file,
               chrome_trace(result.phases.front().step.timeline.spans,
                            [&plan](std::int64_t rank) { return rank_name(plan, rank); }));
  deliver(make_report(input), document, options.output_folder, context);
  return result.feasible ? kDone : kInfeasible;
}

}  // namespace

Settings settings_of(const std::vector<std::string>& set, const CommandContext& context) {
  Settings settings = parse_settings(set);
  if (context.common.seed)
    settings.emplace_back("/seed", parse_json(std::to_string(*context.common.seed), "--seed"));
  return settings;
}

void check_variants(const RunArguments& arguments,
                    const CommandContext& context,
                    const std::vector<Variant>& variants) {
  if (!arguments.variants) return;
  if (context.common.json)
    throw InputError("--variants", "variants are in the report only; leave out --json");
  if (variants.empty())
    throw InputError(arguments.scenario, "--variants, but the scenario has no \"variants\"");
}

void add_run_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<RunArguments>();
  CLI::App* command = app.add_subcommand("run", "Simulate a scenario and print its report");
  command->footer(
      "Examples:\n  moesim run scenarios/deepseek-v3-pretrain.jsonc -o out\n"
      "  moesim run scenarios/deepseek-v3-pretrain.jsonc --set /cluster/nic_bandwidth=\"100 GB/s\" "
      "--json\n"
      "  moesim run scenarios/deepseek-v3-pretrain.jsonc --explain\n"
      "  moesim run scenarios/deepseek-v3-chunk.jsonc --trace chunk.trace.json\n"
      "  moesim run scenarios/azure-conversation-h200.jsonc --variants");
  command->add_option("scenario", options->scenario, "A scenario file")->required();
  add_output_option(*command, options->output_folder);
  add_set_option(*command, options->settings);
  command->add_option(
      "--trace", options->trace_file, "Write a Chrome/Perfetto timeline of the first phase's step");
  command
      ->add_option("--trace-ranks",
                   options->trace_ranks,
                   "Ranks in the timeline (default: the first of every stage)")
      ->delimiter(',')
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--variants",
                    options->variants,
                    "Also run the scenario's variants and explain what each change does");
  command->add_flag(
      "--no-folding", options->no_folding, "Simulate every rank even where ranks are identical");
  command->add_flag("--explain",
                    options->explain,
                    "Also show the critical path of the first phase's step, with reasons");
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] { return run(*options, context); };
  });
}

}  // namespace moesim
