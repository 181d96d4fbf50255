// moesim-calibrate check-step: is what the cost model predicts for a layer what the device takes?
#include "calibrate/check_step.hpp"

#include <CLI/CLI.hpp>
#include <memory>

#include "calibrate/commands/commands.hpp"
#include "calibrate/commands/device_options.hpp"
#include "model/profile.hpp"

namespace moesim {
namespace {

struct CheckStepOptions {
  DeviceOptions device;
  std::string profile, half = "both";
};

int run_check_step(const CheckStepOptions& options) {
  const OpenedDevice opened = open_device(options.device);
  const ModelSpec model =  // whose layer the trace is of
      read_model_spec(data_folder() / "models" / "deepseek-v3.json");
  const CostModel costs(read_profile_file(options.profile), opened.gpu);
  const auto check = [&](StepHalf half, const char* title) {
    print("## " + std::string(title) + "\n\n" +
          check_step_text(check_step(*opened.device, model, costs, options.device.seed, half)));
  };
  if (options.half != "backward") check(StepHalf::forward, "Forward");
  if (options.half == "both") print("\n");
  if (options.half != "forward") check(StepHalf::backward, "Backward");
  return kDone;
}

}  // namespace

void add_check_step_command(CLI::App& app, CalibrateContext& context) {
  auto options = std::make_shared<CheckStepOptions>();
  CLI::App* command = app.add_subcommand(
      "check-step", "Compare a MoE layer on a device with what a profile predicts");
  add_device_options(*command, options->device);
  command->add_option("--profile", options->profile, "That the prediction is made from")
      ->required();
  command->add_option("--half", options->half, "forward, backward or both")
      ->check(CLI::IsMember({"forward", "backward", "both"}))
      ->capture_default_str();
  command->footer(
      "Example: moesim-calibrate check-step --device=fake --profile scenarios/profiles/"
      "h100-published.json");
  command->callback(
      [&context, options] { context.chosen = [options] { return run_check_step(*options); }; });
}

}  // namespace moesim
