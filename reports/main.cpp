// moesim: what will this MoE model cost on this cluster, how fast will it run, and what holds it
// back?
#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "model/errors.hpp"
#include "reports/commands/commands.hpp"

namespace {

using namespace moesim;

constexpr void (*kCommands[])(CLI::App&, CommandContext&) = {add_model_command,
                                                             add_run_command,
                                                             add_optimize_command,
                                                             add_sweep_command,
                                                             add_merge_command,
                                                             add_capacity_command,
                                                             add_solve_command,
                                                             add_sensitivity_command,
                                                             add_compare_command,
                                                             add_validate_command,
                                                             add_compare_trace_command,
                                                             add_topology_command,
                                                             add_routing_command,
                                                             add_collective_command,
                                                             add_import_command,
                                                             add_calibrate_command,
                                                             add_completion_command,
                                                             add_man_command,
                                                             add_schema_command};

int dispatch(int argc, char** argv) {
  CLI::App app(
      "Simulates training and serving of Mixture-of-Experts models on GPU clusters: time, MFU, GPU "
      "hours, latencies, dollars, memory.",
      "moesim");
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done; 1 the system refused or an internal error; 2 bad input or usage; 3 "
      "validate past a tolerance;\n"
      "4 the plan is infeasible (its report is still complete).");
  CommandContext context;
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
    std::cerr << "moesim: " + std::string(error.what()) + '\n';
    return kBadInput;
  } catch (const std::exception& error) {
    std::cerr << "moesim: " + std::string(error.what()) + '\n';
    return kRefused;
  }
}
