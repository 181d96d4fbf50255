// moesim-calibrate accuracy FOLDER: how well the forms fit published tables.
#include "calibrate/fit/accuracy.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "calibrate/commands/commands.hpp"

namespace moesim {

void add_accuracy_command(CLI::App& app, CalibrateContext& context) {
  CLI::App* command =
      app.add_subcommand("accuracy", "Fit published tables and show the error on points left out");
  command->footer(
      "Example: moesim-calibrate accuracy tables/\n"
      "The tables are those of InferSim and AIConfigurator (docs/calibration.md); they are not "
      "part "
      "of this program.\n"
      "Exit code 3 when a row misses what is asked of it.");
  struct Options {
    std::string folder;
    int threads = 0;
  };
  auto options = std::make_shared<Options>();
  command->add_option("folder", options->folder, "Where the tables are")->required();
  command->add_option("--threads", options->threads, "Threads to use (default: all cores)")
      ->check(CLI::Range(1, 1024));
  command->callback([&context, options] {
    context.chosen = [options] {
      if (!std::filesystem::is_directory(options->folder))
        throw InputError(options->folder, "is not a folder");
      const auto rows = accuracy(options->folder, gpu_folder(), num_threads(options->threads));
      print(accuracy_report(rows));
      const bool all_within =
          std::all_of(rows.begin(), rows.end(), [](const AccuracyRow& r) { return r.within(); });
      return all_within ? kDone : kPastTolerance;
    };
  });
}

}  // namespace moesim
