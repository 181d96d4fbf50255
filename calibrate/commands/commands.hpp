// The commands of `moesim-calibrate`. Each adds its subcommand with its options and examples; when
// chosen, it runs and returns the exit code. To add one: its file here and its line in the table in
// calibrate/main.cpp.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "model/errors.hpp"
#include "model/terminal.hpp"

namespace CLI {
class App;
}

namespace moesim {

struct CalibrateContext {
  std::function<int()> chosen;  // set by the subcommand that was named
};

void add_cases_command(CLI::App& app, CalibrateContext& context);
void add_fit_command(CLI::App& app, CalibrateContext& context);
void add_transfer_command(CLI::App& app, CalibrateContext& context);
void add_accuracy_command(CLI::App& app, CalibrateContext& context);
void add_comm_command(CLI::App& app, CalibrateContext& context);
void add_measure_command(CLI::App& app, CalibrateContext& context);
void add_check_command(CLI::App& app, CalibrateContext& context);
void add_check_step_command(CLI::App& app, CalibrateContext& context);
void add_import_command(CLI::App& app, CalibrateContext& context);

int num_threads(int wanted);  // 0: all cores

// The shipped data: MOESIM_SCENARIOS, else where this program was built.
std::filesystem::path data_folder();
std::filesystem::path gpu_folder();  // gpus/ in it

}  // namespace moesim
