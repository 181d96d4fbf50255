// moesim compare-trace TRACE [SCENARIO]: a measured pair of chunks next to the simulated one,
// operation by operation.
#include <CLI/CLI.hpp>
#include <memory>

#include "model/device_name.hpp"
#include "model/json_message.hpp"
#include "reports/commands/deliver.hpp"
#include "reports/trace_report.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string trace, scenario, mapping, output_folder;
  std::vector<std::string> settings;
};

std::string file_name(const fs::path& path) { return one_line(path.filename().string()); }

ProfilerTrace read_trace(const std::string& path) {
  ProfilerTrace trace = read_profiler_trace(path);
  if (trace.kernels.empty())
    throw InputError(one_line(path),
                     "has no GPU kernels: expected events of category \"kernel\", which a profiler "
                     "writes when it records CUDA activity");
  return trace;
}

Scenario read_pair(const fs::path& path,
                   const std::vector<std::string>& changes,
                   const CommonOptions& common) {
  auto settings = parse_settings(changes);
  if (common.seed)
    settings.emplace_back("/seed", parse_json(std::to_string(*common.seed), "--seed"));
  Scenario scenario = read_scenario(path, settings);
  const TrainingPhase& phase = scenario.phases.front();
  if (phase.stated_gpu_hours || phase.plan.schedule != ScheduleKind::overlapped_pair)
    throw InputError(one_line(path.string()) + ": /plan/schedule",
                     "a trace of one pair of chunks is compared with \"overlapped_pair\", which "
                     "simulates one");
  return scenario;
}

// The mapping the comparison uses. One that was asked for has to fit the trace; the shipped one may
// fit in part, or not at all.
BlockMapping choose_mapping(const ProfilerTrace& trace,
                            const fs::path& path,
                            bool was_asked_for,
                            TraceInput& input) {
  BlockMapping mapping = read_block_mapping(path, pair_block_names());
  const std::vector<const MappedBlock*> missing = missing_blocks(trace, mapping);
  if (was_asked_for && !missing.empty())
    throw InputError(
        missing.front()->place + "/annotation",
        "there is no annotation " + in_quotes(missing.front()->annotation) + " in " + input.trace);
  std::vector<std::string> names;
  for (const MappedBlock* block : missing) names.push_back(in_quotes(block->annotation));
  if (missing.size() == mapping.blocks.size()) {
    input.warnings.push_back("the shipped mapping " + file_name(path) +
                             " does not fit: the trace has none of its annotations. Kernels are "
                             "grouped by name and grid; give a mapping of your own with --mapping");
    return {};
  }
  if (!missing.empty())
    input.warnings.push_back("the trace has no annotation " + joined(names) +
                             ", so nothing of these blocks was found");
  input.mapping =
      file_name(path) + (mapping.about.empty() ? "" : " (" + one_line(mapping.about) + ")");
  return mapping;
}

int compare(const Options& options, const CommandContext& context) {
  Progress progress(context.common.quiet);
  progress("reading " + options.trace);
  const ProfilerTrace trace = read_trace(options.trace);
  const fs::path shipped = scenario_folder("");
  const Scenario scenario = read_pair(
      options.scenario.empty() ? shipped / "deepseek-v3-chunk.jsonc" : fs::path(options.scenario),
      options.settings,
      context.common);
  TraceInput input{scenario, file_name(options.trace), one_line(trace.device), "", {}, {}};
  const BlockMapping mapping =
      choose_mapping(trace,
                     options.mapping.empty() ? shipped / "traces" / "deepseek-v3-train.json"
                                             : fs::path(options.mapping),
                     !options.mapping.empty(),
                     input);
  const std::string& gpu = scenario.cluster.gpu.name;
  if (!trace.device.empty() && !device_is_gpu(trace.device, gpu))
    input.warnings.push_back("the trace was measured on " + input.device +
                             ", and the scenario has " + gpu);
  progress("simulating " + scenario.name);
  input.comparison = compare_trace(trace_times(trace, mapping),
                                   pair_times(scenario, context.common.num_threads()));
  deliver(trace_report(input), trace_json(input), options.output_folder, context);
  return kDone;
}

}  // namespace

void add_compare_trace_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "compare-trace", "A PyTorch-profiler trace next to the simulation, operation by operation");
  command->footer(
      "Examples:\n  moesim compare-trace train.json\n"
      "  moesim compare-trace train.json scenarios/deepseek-v3-chunk.jsonc --mapping mine.json "
      "--json");
  command
      ->add_option(
          "trace", options->trace, "A trace of one overlapped pair of chunks (Chrome JSON)")
      ->required();
  command->add_option("scenario",
                      options->scenario,
                      "The scenario that simulates it (the shipped deepseek-v3-chunk)");
  command->add_option(
      "--mapping",
      options->mapping,
      "Which kernel is which operation (the shipped traces/deepseek-v3-train.json)");
  add_output_option(*command, options->output_folder);
  add_set_option(*command, options->settings);
  add_common_options(*command, context);
  command->callback([options, &context] {
    context.chosen = [options, &context] { return compare(*options, context); };
  });
}

}  // namespace moesim
