// The commands of `moesim`. Each adds its subcommand with its options and examples; when chosen, it
// runs and sets the exit code. To add one: its file here and its line in the table in
// reports/main.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/errors.hpp"
#include "model/settings.hpp"
#include "model/terminal.hpp"

namespace CLI {
class App;
}

namespace moesim {

enum class Color { automatic, always, never };

// Options every command has.
struct CommonOptions {
  bool json = false;
  bool quiet = false;
  Color color = Color::automatic;
  std::optional<std::int64_t> seed;
  int threads = 0;  // 0: all cores
  int num_threads() const;
};

struct CommandContext {
  CommonOptions common;
  std::function<int()> chosen;  // set by the subcommand that was named
};

void add_model_command(CLI::App& app, CommandContext& context);
void add_run_command(CLI::App& app, CommandContext& context);
void add_optimize_command(CLI::App& app, CommandContext& context);
void add_sweep_command(CLI::App& app, CommandContext& context);
void add_merge_command(CLI::App& app, CommandContext& context);
void add_capacity_command(CLI::App& app, CommandContext& context);
void add_solve_command(CLI::App& app, CommandContext& context);
void add_sensitivity_command(CLI::App& app, CommandContext& context);
void add_compare_command(CLI::App& app, CommandContext& context);
void add_validate_command(CLI::App& app, CommandContext& context);
void add_compare_trace_command(CLI::App& app, CommandContext& context);
void add_topology_command(CLI::App& app, CommandContext& context);
void add_routing_command(CLI::App& app, CommandContext& context);
void add_collective_command(CLI::App& app, CommandContext& context);
void add_import_command(CLI::App& app, CommandContext& context);
void add_calibrate_command(CLI::App& app, CommandContext& context);
void add_completion_command(CLI::App& app, CommandContext& context);
void add_man_command(CLI::App& app, CommandContext& context);
void add_schema_command(CLI::App& app, CommandContext& context);

// Adds --json, --quiet, --color, --seed and --threads to a subcommand.
void add_common_options(CLI::App& command, CommandContext& context);

// Adds --set, which may be repeated.
void add_set_option(CLI::App& command, std::vector<std::string>& settings);
// Values of --set, such as /plan/ep=32: a JSON value where the text is one, else a string.
Settings parse_settings(const std::vector<std::string>& texts);

// Markdown for people: headings and warnings stand out when standard output is a terminal (or
// colour is forced).
void print_markdown(const std::string& text, const CommonOptions& options);

// The folder of the shipped scenarios, or the one given (model/shipped_folder.hpp).
std::string scenario_folder(const std::string& given);

}  // namespace moesim
