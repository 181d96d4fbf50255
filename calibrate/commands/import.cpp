// moesim-calibrate import FORMAT FILE...: other people's measurements become points.
#include "calibrate/import/import.hpp"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "calibrate/commands/commands.hpp"
#include "calibrate/import/plain_number.hpp"
#include "model/json_message.hpp"
#include "model/line_reader.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string format, output, kind = "published", mapping;
  std::vector<std::string> files, only, settings;
  std::int64_t heads = 0;
  ImportRequest request;
};

std::pair<std::string, std::string> halves(const std::string& option, const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw InputError(option + " " + one_line(text), "expected NAME=VALUE");
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void add_setting(ImportOptions& options, const std::string& name, std::int64_t value) {
  const auto [it, is_new] = options.settings.emplace(name, value);
  if (!is_new && it->second != value)
    throw InputError("--set " + one_line(name) + "=" + std::to_string(value),
                     "was " + std::to_string(it->second) + " before");
}

const ImportFormat* chosen_format(const std::string& name) {
  if (const ImportFormat* const format = find_import_format(name); format != nullptr) return format;
  std::vector<std::string> known;
  for (const ImportFormat* f : import_formats()) known.emplace_back(f->name);
  throw InputError("FORMAT", unknown_key(name, known));
}

ImportRequest request_of(const Options& options) {
  ImportRequest request = options.request;
  request.format = chosen_format(options.format);
  for (const std::string& file : options.files) request.files.emplace_back(file);
  for (const std::string& text : options.only)
    request.options.only.push_back(halves("--only", text));
  for (const std::string& text : options.settings) {
    const auto [name, value] = halves("--set", text);
    const auto count = plain_integer(value);
    if (!count || *count < 1)
      throw InputError("--set " + one_line(text), "expected a count of at least 1");
    add_setting(request.options, name, *count);
  }
  if (options.heads > 0) add_setting(request.options, "heads", options.heads);
  request.options.mapping = options.mapping;
  request.kind = options.kind == "measured" ? ProfileKind::measured : ProfileKind::published;
  return request;
}

int run_import(const Options& options) {
  const ImportRequest request = request_of(options);
  const std::string already = fs::exists(options.output) ? read_bytes(options.output) : "";
  const ImportResult result = import_files(request, already, gpu_folder());
  append_lines(options.output, result.lines);
  for (const std::string& message : result.dropped)
    std::cerr << "moesim-calibrate: left out: " << message << '\n';
  std::string text;
  for (const std::string& line : result.summary)
    text += "imported " + line + " into " + one_line(options.output) + "\n";
  for (const std::string& line : result.remarks) text += line + "\n";
  print(text);
  return kDone;
}

std::string format_list() {
  std::string text = "Formats:\n";
  for (const ImportFormat* f : import_formats()) {
    std::string name(f->name);
    name.resize(16, ' ');
    text += "  " + name + std::string(f->reads) + "\n";
  }
  return text;
}

}  // namespace

void add_import_command(CLI::App& app, CalibrateContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("import", "Append other people's measurements to a file of points");
  const auto repeated = [&](const char* name, std::vector<std::string>& values, const char* help) {
    command->add_option(name, values, help)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  command->add_option("FORMAT", options->format, "What wrote the files")->required();
  command->add_option("FILE", options->files, "Files of this format")->required();
  command->add_option("--gpu", options->request.gpu, "GPU they were measured on: its file's name")
      ->required();
  command->add_option("--source", options->request.source, "Who measured, with what; the licence")
      ->required();
  command->add_option("-o,--output", options->output, "File of points to append to")->required();
  command->add_option("--kind", options->kind, "published or measured (published)")
      ->check(CLI::IsMember({"published", "measured"}));
  command->add_option("--plan", options->request.plan, "Tile rule of the GEMM kernels, if known");
  command->add_option("--note", options->request.note, "Kept with the points");
  command->add_option("--op", options->request.options.op, "Operation, where the files do not say");
  command->add_option("--heads", options->heads, "Attention heads, where the files do not say")
      ->check(CLI::Range(1, 65536));
  command->add_option("--map", options->mapping, "Mapping of kernels to operations (trace)");
  repeated("--only", options->only, "COLUMN=VALUE: rows to import (may be repeated)");
  repeated("--set", options->settings, "NAME=COUNT: what the files do not say (may be repeated)");
  command->add_flag("--drop-impossible",
                    options->request.drop_impossible,
                    "Leave out points faster than the datasheet allows, naming each");
  command->footer(format_list() +
                  "Example: moesim-calibrate import infersim gemm.csv --gpu h800 "
                  "--source \"InferSim, Apache-2.0\" -o points.jsonl");
  command->callback(
      [options, &context] { context.chosen = [options] { return run_import(*options); }; });
}

}  // namespace moesim
