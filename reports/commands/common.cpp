#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <thread>

#include "model/errors.hpp"
#include "model/shipped_folder.hpp"
#include "reports/commands/commands.hpp"

namespace moesim {
int CommonOptions::num_threads() const {
  if (threads > 0) return threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void add_common_options(CLI::App& command, CommandContext& context) {
  CommonOptions& c = context.common;
  command.add_flag("--json", c.json, "Print one JSON document on standard output");
  command.add_flag("--quiet", c.quiet, "No progress on standard error");
  command
      .add_option_function<std::string>(
          "--color",
          [&c](const std::string& v) {
            c.color = v == "always"  ? Color::always
                      : v == "never" ? Color::never
                                     : Color::automatic;
          },
          "When to colour: auto, always, never (NO_COLOR is honoured)")
      ->check(CLI::IsMember({"auto", "always", "never"}));
  command
      .add_option_function<std::int64_t>(
          "--seed",
          [&c](const std::int64_t& v) { c.seed = v; },
          "Seed of all random draws; the scenario's own by default")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 62));
  command
      .add_option("--threads",
                  c.threads,
                  "Threads to use; the result does not depend on it (default: all cores)")
      ->check(CLI::Range(1, 1024));
}

void add_set_option(CLI::App& command, std::vector<std::string>& settings) {
  command.add_option("--set", settings, "Override a field: /json/pointer=value (may be repeated)")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

Settings parse_settings(const std::vector<std::string>& texts) {
  Settings settings;
  for (const std::string& text : texts) settings.push_back(parse_setting(text, "--set"));
  return settings;
}

void print_markdown(const std::string& text, const CommonOptions& options) {
  const char* no_color = std::getenv("NO_COLOR");
  const bool wanted = options.color == Color::always ||
                      (options.color == Color::automatic &&
                       (no_color == nullptr || *no_color == '\0') && isatty(STDOUT_FILENO) != 0);
  if (!wanted) return print(text);
  std::istringstream lines(text);
  std::string colored;
  for (std::string line; std::getline(lines, line);) {
    line += '\n';
    const char* style = line.front() == '#'               ? "\033[1m"
                        : line.rfind("> Warning", 0) == 0 ? "\033[33m"
                                                          : nullptr;
    colored += style != nullptr ? style + line + "\033[0m" : line;
  }
  print(colored);
}

std::string scenario_folder(const std::string& given) {
  return shipped_folder(given, MOESIM_SCENARIO_DIR).string();
}

}  // namespace moesim
