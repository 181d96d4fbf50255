// moesim-calibrate: how fast is it really? Measurements in, a profile for the simulator out.
#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "calibrate/commands/commands.hpp"

namespace {

using namespace moesim;

constexpr void (*kCommands[])(CLI::App&, CalibrateContext&) = {add_measure_command,
                                                               add_check_command,
                                                               add_check_step_command,
                                                               add_import_command,
                                                               add_fit_command,
                                                               add_transfer_command,
                                                               add_accuracy_command,
                                                               add_comm_command,
                                                               add_cases_command};

int dispatch(int argc, char** argv) {
  CLI::App app("Measures kernels and links and fits them into a profile for moesim.",
               "moesim-calibrate");
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done; 1 the system refused or an internal error; 2 bad input or usage; 3 a "
      "measurement or an accuracy past what is asked.");
  CalibrateContext context;
  for (const auto add : kCommands) add(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kBadInput;
  }
  return context.chosen();
}

}  // namespace

int main(int argc, char** argv) {
  // Each message is one write: processes of a job that fail together share a terminal.
  try {
    return dispatch(argc, argv);
  } catch (const InputError& error) {
    std::cerr << "moesim-calibrate: " + std::string(error.what()) + '\n';
    return kBadInput;
  } catch (const std::exception& error) {
    std::cerr << "moesim-calibrate: " + std::string(error.what()) + '\n';
    return kRefused;
  }
}
