// moesim-calibrate check: are a device's kernels right?
#include "calibrate/check.hpp"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "calibrate/commands/commands.hpp"
#include "calibrate/commands/device_options.hpp"

namespace moesim {
namespace {

struct CheckOptions {
  DeviceOptions device;
  std::vector<std::string> only;
  std::string shapes = "small";
  bool quiet = false;
};

CheckShapes shapes_named(const std::string& name) {
  return name == "all" ? CheckShapes::all : name == "core" ? CheckShapes::core : CheckShapes::small;
}

bool all_right(const CheckOptions& options, CheckShapes shapes) {
  const OpenedDevice opened = open_device(options.device);
  CheckResult result;
  {
    Progress progress(options.quiet);
    result = check_device(
        *opened.device,
        options.only,
        options.device.seed,
        [&](const std::string& what) { progress(what); },
        shapes);
  }
  print(check_text(result));
  for (const CheckedCall& c : result.calls)
    if (c.problem) std::cerr << "moesim-calibrate: " + *c.problem + '\n';
  return result.all_right();
}

// Of a GPU the naive twins of our kernels too, at the small shapes alone: they are slow.
int run_check(const CheckOptions& options) {
  bool right = all_right(options, shapes_named(options.shapes));
  if (options.device.device == "cuda" && options.device.routes == "own") {
    print("\nNaive versions of our kernels:\n\n");
    CheckOptions naive = options;
    naive.device.routes = "naive";
    right = all_right(naive, CheckShapes::small) && right;
  }
  return right ? kDone : kRefused;
}

}  // namespace

void add_check_command(CLI::App& app, CalibrateContext& context) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command =
      app.add_subcommand("check", "Compare a device's kernels with their CPU references");
  add_device_options(*command, options->device);
  command->add_option("--only", options->only, "Operations, with commas between them")
      ->delimiter(',');
  command
      ->add_option("--shapes",
                   options->shapes,
                   "small: whole outputs at a few; core, all: then those that are measured, by "
                   "samples of their outputs")
      ->check(CLI::IsMember({"small", "core", "all"}))
      ->capture_default_str();
  command->add_flag("--quiet", options->quiet, "No progress on standard error");
  command->footer(
      "Examples: moesim-calibrate check --device=cuda\n"
      "          moesim-calibrate check --device=cuda --shapes all\n"
      "          moesim-calibrate check --device=cuda --routes naive\n"
      "          moesim-calibrate check --device=fake --only gemm_fp8,cast");
  command->callback(
      [&context, options] { context.chosen = [options] { return run_check(*options); }; });
}

}  // namespace moesim
