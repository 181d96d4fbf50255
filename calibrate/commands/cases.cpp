// moesim-calibrate cases: what can be measured, imported and fitted.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <thread>

#include "calibrate/case.hpp"
#include "calibrate/commands/commands.hpp"
#include "model/shipped_folder.hpp"

namespace moesim {
namespace {

std::string list() {
  std::string text = "| operation | axes |\n|---|---|\n";
  for (const Case* c : cases()) {
    text += "| " + std::string(c->op) + " | ";
    for (std::size_t i = 0; i < c->axes.size(); ++i)
      text += (i > 0 ? ", " : "") + std::string(c->axes[i]);
    text += " |\n";
  }
  return text;
}

}  // namespace

int num_threads(int wanted) {
  return wanted > 0 ? wanted : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::filesystem::path data_folder() { return shipped_folder("", MOESIM_SCENARIO_DIR); }
std::filesystem::path gpu_folder() { return data_folder() / "gpus"; }

void add_cases_command(CLI::App& app, CalibrateContext& context) {
  CLI::App* command = app.add_subcommand("cases", "List what can be measured, imported and fitted");
  command->footer("Example: moesim-calibrate cases");
  command->callback([&context] {
    context.chosen = [] {
      print(list());
      return kDone;
    };
  });
}

}  // namespace moesim
