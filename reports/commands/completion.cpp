// moesim completion: scripts for bash, zsh and fish, made from the commands and options themselves.
// After an option with few values these are offered, after one that wants a number nothing,
// elsewhere files.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "reports/commands/command_line.hpp"
#include "reports/commands/commands.hpp"

namespace moesim {
namespace {

std::string spaced(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// For between single quotes: a quote ends them, is written, and begins them again.
std::string single_quoted(const std::string& text, const std::string& quote) {
  std::string out;
  for (const char c : text) {
    if (c == '\'')
      out += quote;
    else
      out += c == '\n' ? ' ' : c;
  }
  return "'" + out + "'";
}

std::string bash_script(const DescribedCommand& program) {
  std::vector<std::string> names;
  std::string words, values;
  for (const DescribedCommand& command : program.commands) {
    names.push_back(command.name);
    std::vector<std::string> options, positional;
    for (const DescribedOption& option : command.options) {
      options.insert(options.end(), option.names.begin(), option.names.end());
      if (option.names.empty())
        positional.insert(positional.end(), option.values.begin(), option.values.end());
      for (const std::string& name : option.names)
        if (!option.values.empty())
          values += "    \"" + command.name + " " + name + "\") words=\"" + spaced(option.values) +
                    "\" files= ;;\n";
        else if (option.takes_value)
          values += "    \"" + command.name + " " + name +
                    "\") words=" + (option.is_number ? " files=" : "") + " ;;\n";
    }
    options.emplace_back("--help");
    words += "    " + command.name + ") words=\"" + spaced(options) + "\"";
    if (!positional.empty())
      words += "; [[ $current == -* ]] || { words=\"" + spaced(positional) + "\"; files=; }";
    words += " ;;\n";
  }
  return "# bash completion of moesim; made by `moesim completion bash`.\n"
         "_moesim() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words files=yes\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    COMPREPLY=($(compgen -W \"" +
         spaced(names) +
         " --help\" -- \"$current\"))\n"
         "    return\n"
         "  fi\n"
         "  case $command in\n" +
         words +
         "  esac\n"
         "  case \"$command ${COMP_WORDS[COMP_CWORD-1]}\" in\n" +
         values +
         "  esac\n"
         "  local IFS=$' \\n'\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
         "  IFS=$'\\n'\n"
         "  [[ -z $files || $current == -* ]] || COMPREPLY+=($(compgen -f -- \"$current\"))\n"
         "}\n"
         "complete -o filenames -F _moesim moesim\n";
}

// As _arguments wants a description: brackets and colons have a meaning of their own there.
std::string zsh_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_argument(const DescribedOption& option) {
  const std::string value =
      option.values.empty() ? ":value:_files" : ":value:(" + spaced(option.values) + ")";
  if (option.names.empty())
    return " " + single_quoted((option.repeats ? "*:" : ":") + zsh_text(option.positional) +
                                   value.substr(value.find(':', 1)),
                               "'\\''");
  std::string text;
  for (const std::string& name : option.names) {
    // One that may be given once is not offered again under its other name either.
    const std::string before = option.repeats ? "*" : "(" + spaced(option.names) + ")";
    text += " " + single_quoted(before + name + "[" + zsh_text(option.text) + "]" +
                                    (option.takes_value ? value : ""),
                                "'\\''");
  }
  return text;
}

std::string zsh_script(const DescribedCommand& program) {
  std::string names, cases;
  for (const DescribedCommand& command : program.commands) {
    names += "    " + single_quoted(zsh_text(command.name) + ":" + command.text, "'\\''") + "\n";
    cases += "    " + command.name + ") _arguments";
    for (const DescribedOption& option : command.options)
      cases += " \\\n     " + zsh_argument(option);
    cases += " \\\n      '--help[Show this command with an example]' ;;\n";
  }
  return "#compdef moesim\n"
         "# zsh completion of moesim; made by `moesim completion zsh`.\n"
         "_moesim() {\n"
         "  local -a commands\n"
         "  commands=(\n" +
         names +
         "  )\n"
         "  if (( CURRENT == 2 )); then\n"
         "    _describe command commands\n"
         "    return\n"
         "  fi\n"
         "  shift words\n"
         "  (( CURRENT-- ))\n"
         "  case $words[1] in\n" +
         cases +
         "  esac\n"
         "}\n"
         // Sourced it registers itself; from a folder of $fpath it is the function.
         "if [[ $funcstack[1] == _moesim ]]; then _moesim \"$@\"; else compdef _moesim moesim; "
         "fi\n";
}

std::string fish_script(const DescribedCommand& program) {
  const auto quoted = [](const std::string& text) {
    std::string escaped;
    for (const char c : text) escaped += c == '\\' ? std::string("\\\\") : std::string(1, c);
    return single_quoted(escaped, "\\'");
  };
  std::string text =
      "# fish completion of moesim; made by `moesim completion fish`.\n"
      "complete -c moesim -f -n __fish_use_subcommand\n";
  for (const DescribedCommand& command : program.commands) {
    text += "complete -c moesim -n __fish_use_subcommand -a " + command.name + " -d " +
            quoted(command.text) + "\n";
    const std::string here =
        "complete -c moesim -n '__fish_seen_subcommand_from " + command.name + "'";
    for (const DescribedOption& option : command.options) {
      if (option.names.empty()) {
        if (!option.values.empty()) text += here + " -f -a " + quoted(spaced(option.values)) + "\n";
        continue;
      }
      text += here;
      for (const std::string& name : option.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!option.values.empty())
        text += " -x -a " + quoted(spaced(option.values));
      else if (option.takes_value)
        text += option.is_number ? " -x" : " -r -F";
      text += " -d " + quoted(option.text) + "\n";
    }
    text += here + " -l help -d 'Show this command with an example'\n";
  }
  return text;
}

}  // namespace

void add_completion_command(CLI::App& app, CommandContext& context) {
  auto shell = std::make_shared<std::string>("bash");
  CLI::App* command =
      app.add_subcommand("completion", "Print a completion script for bash, zsh or fish");
  command->footer(
      "Examples:\n  source <(moesim completion bash)\n"
      "  moesim completion zsh > ~/.zfunc/_moesim\n"
      "  moesim completion fish > ~/.config/fish/completions/moesim.fish");
  command->add_option("shell", *shell, "Whose script (bash)")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([&app, shell, &context] {
    context.chosen = [&app, shell] {
      const DescribedCommand program = describe(app);
      print(*shell == "zsh"    ? zsh_script(program)
            : *shell == "fish" ? fish_script(program)
                               : bash_script(program));
      return kDone;
    };
  });
}

}  // namespace moesim
