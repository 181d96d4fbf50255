// moesim merge FILES: the shards of a sweep as one result file.
#include <CLI/CLI.hpp>
#include <memory>

#include "model/json_writer.hpp"
#include "reports/commands/sweep_options.hpp"
#include "reports/sweep/merge_sweep.hpp"

namespace moesim {
namespace {

struct MergeArguments {
  std::vector<std::string> files;
  std::string output;
  SweepShown shown;
};

int merge(const MergeArguments& arguments, const CommandContext& context) {
  SweepFindings findings = findings_of(arguments.shown);
  SweepMerge merged = merge_sweep({arguments.files.begin(), arguments.files.end()});
  if (!arguments.output.empty()) write_file(arguments.output, merged.text);
  findings.name = merged.header.name;
  findings.fields = merged.header.fields;
  findings.num_points = merged.header.num_points;
  findings.rows = std::move(merged.rows);
  return deliver_sweep(findings, arguments.shown, context);
}

}  // namespace

void add_merge_command(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<MergeArguments>();
  CLI::App* command = app.add_subcommand("merge", "Put the shards of a sweep together");
  command->footer(
      "Refuses files of different sweeps, points that are missing and points that are there twice; "
      "the result is the file that one process would have written.\n"
      "Of one finished file it shows the report again.\n"
      "Example:\n  moesim merge ep.jsonl.shard-1-of-2 ep.jsonl.shard-2-of-2 -o ep.jsonl");
  command->add_option("files", arguments->files, "Result files of moesim sweep")->required();
  command->add_option("-o,--output", arguments->output, "The merged result file");
  add_sweep_shown_options(*command, arguments->shown);
  add_common_options(*command, context);
  command->callback([arguments, &context] {
    context.chosen = [arguments, &context] { return merge(*arguments, context); };
  });
}

}  // namespace moesim
