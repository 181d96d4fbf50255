// moesim man: the manual page, in roff, made from the commands and options themselves. What no
// command declares (files, environment) is written here.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "reports/commands/command_line.hpp"
#include "reports/commands/commands.hpp"

namespace moesim {
namespace {

struct NamedText {
  const char* name;
  const char* text;
};

constexpr NamedText kEnvironment[] = {
    {"MOESIM_SCENARIOS",
     "Folder of the shipped scenarios, for commands that look up a GPU, a price or the known "
     "figures. Unset: share/moesim/scenarios of the installation, else that of the sources."},
    {"NO_COLOR", "Set to anything: no colour, unless --color always asks for it."}};

constexpr NamedText kFiles[] = {
    {"scenarios/*.jsonc", "Scenarios: a model, a cluster, a plan or pools, a load."},
    {"scenarios/models/", "Hugging Face config.json files, read as they are."},
    {"scenarios/clusters/, scenarios/gpus/", "Datasheet figures and networks, each with a source."},
    {"scenarios/profiles/",
     "How fast kernels and links are, from measurements; moesim-calibrate "
     "writes them."},
    {"scenarios/published/", "Known figures, which validate compares with, and claims.json."},
    {"scenarios/schema/inputs.json", "The JSON Schema of scenarios, clusters and GPUs."}};

// Text as roff sets it: no command at the start of a line, no hyphen where a minus was meant.
std::string roff(const std::string& text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    line_start = c == '\n';
  }
  return out;
}

std::string joined_names(const DescribedOption& option) {
  std::string text;
  for (const std::string& name : option.names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string value_text(const DescribedOption& option) {
  if (option.values.empty()) return option.is_number ? "N" : "VALUE";
  std::string text;
  for (const std::string& value : option.values) text += (text.empty() ? "" : "|") + value;
  return text;
}

std::string entry(const DescribedOption& option) {
  const std::string value = option.takes_value ? " \\fI" + roff(value_text(option)) + "\\fR" : "";
  const std::string name = option.names.empty()
                               ? "\\fI" + roff(option.positional) + "\\fR"
                               : "\\fB" + roff(joined_names(option)) + "\\fR" + value;
  return ".TP\n" + name + "\n" + roff(option.text) + (option.required ? " (required)" : "") + "\n";
}

// What most commands have is described once.
std::vector<DescribedOption> common_options(const DescribedCommand& program) {
  std::vector<DescribedOption> common;
  for (const DescribedCommand& command : program.commands)
    for (const DescribedOption& option : command.options) {
      const auto having = std::count_if(
          program.commands.begin(), program.commands.end(), [&](const DescribedCommand& c) {
            return std::find(c.options.begin(), c.options.end(), option) != c.options.end();
          });
      if (2 * having > static_cast<std::ptrdiff_t>(program.commands.size()) &&
          std::find(common.begin(), common.end(), option) == common.end())
        common.push_back(option);
    }
  return common;
}

std::string synopsis(const std::string& program, const DescribedCommand& command) {
  std::string text = "\\fB" + roff(program + " " + command.name) + "\\fR";
  for (const DescribedOption& option : command.options) {
    const std::string name =
        option.names.empty()
            ? "\\fI" + roff(option.positional) + "\\fR" + (option.repeats ? " ..." : "")
            : "\\fB" + roff(option.names.back()) + "\\fR \\fI" + roff(value_text(option)) + "\\fR";
    if (option.required)
      text += " " + name;
    else if (option.names.empty())
      text += " [" + name + "]";
  }
  return text + " [\\fIoptions\\fR]\n";
}

std::string command_text(const std::string& program,
                         const DescribedCommand& command,
                         const std::vector<DescribedOption>& common) {
  std::string text = ".SS " + roff(command.name) + "\n" + roff(command.text) + ".\n.PP\n" +
                     synopsis(program, command);
  std::string shared;
  for (const DescribedOption& option : command.options) {
    if (std::find(common.begin(), common.end(), option) == common.end())
      text += entry(option);
    else
      shared += (shared.empty() ? "" : ", ") + joined_names(option);
  }
  if (!shared.empty()) text += ".PP\nCommon options: " + roff(shared) + ".\n";
  if (!command.footer.empty()) text += ".PP\n.nf\n" + roff(command.footer) + "\n.fi\n";
  return text;
}

template <std::size_t n>
std::string entries(const NamedText (&rows)[n]) {
  std::string text;
  for (const NamedText& row : rows)
    text += ".TP\n\\fB" + roff(row.name) + "\\fR\n" + roff(row.text) + "\n";
  return text;
}

std::string man_page(const DescribedCommand& program) {
  const std::vector<DescribedOption> common = common_options(program);
  const std::string& name = program.name;
  std::string text = ".TH MOESIM 1\n.SH NAME\n" + roff(name) +
                     " \\- what a mixture\\-of\\-experts model costs on a cluster\n"
                     ".SH SYNOPSIS\n\\fB" +
                     roff(name) +
                     "\\fR \\fIcommand\\fR [\\fIarguments\\fR] [\\fIoptions\\fR]\n"
                     ".SH DESCRIPTION\n" +
                     roff(program.text) +
                     "\n.PP\nEvery number it prints leads back to a formula, a measurement or an "
                     "input. Any command shows its options with \\fB\\-\\-help\\fR.\n"
                     ".SH COMMANDS\n";
  for (const DescribedCommand& command : program.commands)
    text += command_text(name, command, common);
  text += ".SH COMMON OPTIONS\n";
  for (const DescribedOption& option : common) text += entry(option);
  text += ".SH EXIT STATUS\n" + roff(program.footer) + "\n";
  text += ".SH ENVIRONMENT\n" + entries(kEnvironment);
  text += ".SH FILES\nBelow share/moesim of an installation:\n" + entries(kFiles);
  return text +
         ".SH SEE ALSO\n\\fBmoesim\\-calibrate \\-\\-help\\fR, which measures and fits "
         "profiles.\n";
}

}  // namespace

void add_man_command(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand("man", "Print the manual page, in roff");
  command->footer("Examples: moesim man | man -l -\n          moesim man > moesim.1");
  command->callback([&app, &context] {
    context.chosen = [&app] {
      print(man_page(describe(app)));
      return kDone;
    };
  });
}

}  // namespace moesim
