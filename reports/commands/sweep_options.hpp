// What `moesim sweep` and `moesim merge` share: how the points of a sweep are shown.
#pragma once

#include <string>
#include <vector>

#include "reports/commands/commands.hpp"
#include "reports/sweep/sweep_report.hpp"

namespace moesim {

struct SweepShown {
  std::vector<std::string> metrics;
  std::string pareto, csv, report_folder;
  std::size_t num_best = 10;
};

void add_sweep_shown_options(CLI::App& command, SweepShown& shown);
// Metrics and goals, of a sweep that is still to be filled in.
SweepFindings findings_of(const SweepShown& shown);
// Prints the report or its JSON, and writes the CSV; the exit code.
int deliver_sweep(SweepFindings& findings, const SweepShown& shown, const CommandContext& context);

}  // namespace moesim
