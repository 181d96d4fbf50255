// moesim import --from LAUNCHER ARGS: a launcher's command line as a plan with its rank grid.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <memory>

#include "model/json_message.hpp"
#include "reports/commands/deliver.hpp"
#include "reports/import/import_report.hpp"
#include "reports/import/shell_words.hpp"

namespace moesim {
namespace {

struct Options {
  std::string from, output_file, model_file;
  std::optional<std::int64_t> world_size, gpus_per_node;
  std::vector<std::string> after_dashes;  // and @file, and text that does not start with a dash
};

std::string script(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.good() && text.empty()) throw InputError(one_line(path), "cannot be read, or is empty");
  constexpr std::size_t kMost = 1 << 20;
  if (text.size() > kMost || text.find('\0') != std::string::npos)
    throw InputError(one_line(path), "is not a script of arguments");
  return text;
}

// One quoted text, @FILE, or the words after "--". A quoted text that starts with a dash is no
// option of ours, and arrives in `unknown`.
std::vector<std::string> argument_words(const std::vector<std::string>& unknown,
                                        const std::vector<std::string>& words) {
  constexpr const char* kHow =
      "expected the launcher's arguments in one pair of quotes, as @FILE, or after \"--\"";
  std::vector<std::string> texts;
  for (const std::string& word : unknown)
    if (word != "--") texts.push_back(word);
  if (!texts.empty() && (texts.size() > 1 || !words.empty()))
    throw InputError(one_line(texts.front()), std::string("unknown option; ") + kHow);
  if (texts.empty()) texts = words;
  if (texts.empty()) throw InputError("import", kHow);
  if (texts.size() > 1) return texts;
  const std::string& text = texts.front();
  if (text.size() > 1 && text[0] == '@') {
    const std::string path = text.substr(1);
    return shell_words(script(path), one_line(path));
  }
  return shell_words(text, "import");
}

int run_import(const Options& options,
               const std::vector<std::string>& unknown,
               const CommandContext& context) {
  const Launcher& launcher = find_launcher(options.from);
  LaunchOptions launch{options.world_size, options.gpus_per_node, {}};
  if (!options.model_file.empty())
    launch.model = read_model_spec(std::filesystem::path(options.model_file));
  const LaunchImport imported =
      import_launch(launcher, argument_words(unknown, options.after_dashes), launch);
  if (!options.output_file.empty()) write_file(options.output_file, plan_file_text(imported));
  deliver(import_report(imported, options.output_file), import_json(imported), "", context);
  return kDone;
}

}  // namespace

void add_import_command(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "import", "A launcher's command line as a plan, with its rank grid expanded");
  command->footer(
      "Examples:\n  moesim import --from megatron --world-size 256 -o plan.jsonc "
      "\"--tensor-model-parallel-size 2 --pipeline-model-parallel-size 8 ...\"\n"
      "  moesim import --from megatron @train.sh --model scenarios/models/deepseek-v3.json\n"
      "  moesim import --from sglang -- --tp-size 16 --dp-size 16 --enable-dp-attention "
      "--moe-a2a-backend deepep");
  std::string names;
  for (const Launcher* launcher : all_launchers())
    names += (names.empty() ? "" : ", ") + std::string(launcher->name);
  command->add_option("--from", options->from, "Whose arguments they are: " + names)->required();
  command->add_option("arguments",
                      options->after_dashes,
                      "The arguments: one quoted text, @FILE, or words after \"--\"");
  command->add_option("-o,--output", options->output_file, "Write the plan to this file");
  command->add_option(
      "--model", options->model_file, "A config.json that the arguments have to agree with");
  command->add_option("--world-size", options->world_size, "GPUs of the run")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 24));
  command->add_option("--gpus-per-node", options->gpus_per_node, "GPUs of a node (8)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 16));
  command->allow_extras();
  add_common_options(*command, context);
  command->callback([options, command, &context] {
    context.chosen = [options, command, &context] {
      return run_import(*options, command->remaining(), context);
    };
  });
}

}  // namespace moesim
