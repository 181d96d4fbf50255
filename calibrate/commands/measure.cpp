// moesim-calibrate measure: times the kernels of a device over their grids of shapes and writes the
// points that a profile is fitted to.
#include "calibrate/measure.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>

#include "calibrate/commands/commands.hpp"
#include "calibrate/commands/device_options.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

constexpr double kMostSpread = 0.05;  // a noisier run is no base for a fit

struct Options {
  DeviceOptions device;
  std::string suite = "hopper", output;
  std::vector<std::string> only;
  double budget_s = 0;
  bool resume = false, list = false, quiet = false;
};

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2g %%", share * 100);
  return text;
}

std::string closing_lines(const MeasureResult& result, const Options& options) {
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%.1f", result.time.in(s));
  std::string text = "measured " + std::to_string(result.num_measured) + " points in " + seconds +
                     " s of the device's time into " + options.output + "; " +
                     std::to_string(result.num_flagged) + " of them flagged\n";
  if (result.num_there > 0)
    text += std::to_string(result.num_there) + " points were there already\n";
  if (result.num_measured > 0)
    text += "repeats of a point are within +-" + percent(result.median_spread) +
            " (median over points; 95th percentile " + percent(result.p95_spread) + ")\n";
  if (result.num_left > 0)
    text += "the budget ended the run: " + std::to_string(result.num_left) +
            " points are left, and --resume carries on\n";
  return text;
}

void warn(const std::string& text) { std::cerr << "moesim-calibrate: " << text << '\n'; }

// The points of an earlier, interrupted run in the same file; of none when there is no such file.
EarlierPoints earlier(const Options& options, const PointRun& run) {
  if (!fs::is_regular_file(options.output) || fs::file_size(options.output) == 0) return {};
  return earlier_points(read_points(options.output, gpu_folder()), run);
}

MeasureResult measure_into_file(Device& device,
                                const GpuSpec& gpu,
                                const MeasuringPlan& plan,
                                const Options& options) {
  MeasureOptions how;
  how.seed = options.device.seed;
  if (options.budget_s > 0) how.budget = options.budget_s * s;
  PointWriter out(options.output);
  if (out.dropped_torn_line())
    warn(options.output + ": its last line ended in the middle and was dropped");
  Progress progress(options.quiet);
  how.progress = [&](const std::string& what) { progress(what); };
  const EarlierPoints there = earlier(options, measuring_run(device, how));
  try {
    const MeasureResult result = measure(device, gpu, plan, there, how, out);
    out.finish();
    return result;
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(std::string(error.what()) + "; what was measured before is in " +
                             options.output + ", and --resume carries on");
  }
}

// Says what went wrong; the exit code.
int verdict(const MeasureResult& result) {
  for (const auto& [op, found] : result.wrong) warn(op + " is wrong and was not timed: " + found);
  constexpr std::size_t kNamed = 5;
  for (std::size_t i = 0; i < std::min(kNamed, result.impossible.size()); ++i)
    warn(result.impossible[i] + "; it was not kept");
  if (result.impossible.size() > kNamed)
    warn("and " + std::to_string(result.impossible.size() - kNamed) + " more that were not kept");
  if (!result.wrong.empty() || !result.impossible.empty()) return kRefused;
  if (result.p95_spread <= kMostSpread) return kDone;
  warn("too noisy to fit: repeats of a point are within +-" + percent(result.p95_spread) +
       " at the 95th percentile over points; expected no more than " + percent(kMostSpread));
  return kPastTolerance;
}

int run(const Options& options) {
  const auto [gpu, device] = open_device(options.device);
  const MeasuringPlan plan = measuring_plan(
      options.suite == "small" ? Suite::small : Suite::hopper, options.only, *device);
  if (options.list) {
    print(plan_text(plan, gpu));
    return kDone;
  }
  if (options.output.empty())
    throw InputError("-o", "is missing; expected the file that points are written to");
  const bool is_new = !fs::exists(options.output);
  if (!options.resume && fs::is_regular_file(options.output) && fs::file_size(options.output) > 0)
    throw InputError(options.output, "exists; --resume carries on with it");
  const auto remove_empty = [&] {
    std::error_code ignored;
    if (is_new && fs::is_regular_file(options.output, ignored) &&
        fs::file_size(options.output, ignored) == 0)
      fs::remove(options.output, ignored);
  };
  MeasureResult result;
  try {
    result = measure_into_file(*device, gpu, plan, options);
  } catch (...) {
    remove_empty();
    throw;
  }
  remove_empty();
  print(closing_lines(result, options));
  return verdict(result);
}

}  // namespace

void add_measure_command(CLI::App& app, CalibrateContext& context) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("measure", "Time a device's kernels over their grids of shapes");
  add_device_options(*command, options->device);
  command->add_option("-o,--output", options->output, "File of points (one JSON object a line)");
  command->add_option("--suite", options->suite, "hopper: all; small: enough for a fit")
      ->check(CLI::IsMember({"hopper", "small"}))
      ->capture_default_str();
  command->add_option("--only", options->only, "Operations, with commas between them")
      ->delimiter(',');
  command->add_option("--budget-s", options->budget_s, "Stop after this much of the device's time")
      ->check(CLI::Range(1e-3, 1e9));
  command->add_flag("--resume", options->resume, "Carry on with a file that exists");
  command->add_flag("--list", options->list, "Only print how many points and how much time");
  command->add_flag("--quiet", options->quiet, "No progress on standard error");
  command->footer(
      "Examples: moesim-calibrate measure --device=fake --suite small -o points.jsonl\n"
      "          moesim-calibrate measure --device=fake --only gemm_fp8,cast --list");
  command->callback([&context, options] { context.chosen = [options] { return run(*options); }; });
}

}  // namespace moesim
