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
  bool quiet = false;
};

int run_check(const CheckOptions& options) {
  const OpenedDevice opened = open_device(options.device);
  CheckResult result;
  {
    Progress progress(options.quiet);
    result = check_device(*opened.device,
                          options.only,
                          options.device.seed,
                          [&](const std::string& what) { progress(what); });
  }
  print(check_text(result));
  for (const CheckedCall& c : result.calls)
    if (c.problem) std::cerr << "moesim-calibrate: " + *c.problem + '\n';
  return result.all_right() ? kDone : kRefused;
}

}  // namespace

void add_check_command(CLI::App& app, CalibrateContext& context) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command =
      app.add_subcommand("check", "Compare a device's kernels with their CPU references");
  add_device_options(*command, options->device);
  command->add_option("--only", options->only, "Operations, with commas between them")
      ->delimiter(',');
  command->add_flag("--quiet", options->quiet, "No progress on standard error");
  command->footer(
      "Examples: moesim-calibrate check --device=cuda\n"
      "          moesim-calibrate check --device=fake --only gemm_fp8,cast");
  command->callback(
      [&context, options] { context.chosen = [options] { return run_check(*options); }; });
}

}  // namespace moesim
