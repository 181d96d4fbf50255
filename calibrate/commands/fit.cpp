// moesim-calibrate fit POINTS... --onto PROFILE -o PROFILE: points to a profile whose error is
// known.
#include <CLI/CLI.hpp>
#include <memory>

#include "calibrate/commands/commands.hpp"
#include "calibrate/fit/fit_profile.hpp"
#include "model/json_writer.hpp"
#include "model/profile_transfer.hpp"

namespace moesim {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> points;
  std::string onto, out, id, about, plan;
  double smoothing = 0.03;
  bool keep_points = false, allow_noisy = false, leave_out_disagreeing = false;
  int threads = 0;
};

// How the file `out` names the GPU file.
std::string gpu_reference(const fs::path& gpu_file, const fs::path& out) {
  const fs::path folder = fs::absolute(out).lexically_normal().parent_path();
  return fs::absolute(gpu_file).lexically_normal().lexically_relative(folder).string();
}

// What is written has to be what is read: a figure that no profile may hold is refused here.
void check_reads_back(const std::string& text, const fs::path& gpu_file, const std::string& out) {
  JsonNode node = parse_json(text, out);
  for (auto& [key, value] : node.members)
    if (key == "gpu") value = read_json_file(gpu_file);
  read_profile(node);
}

int fit(const Options& options) {
  std::vector<PointFile> files;
  std::string cut;
  for (const std::string& path : options.points) {
    files.push_back(read_points(path, gpu_folder()));
    if (files.back().torn)
      cut += "Note: the last line of " + path + " is cut off; it is left out.\n";
  }
  const fs::path gpu_file = gpu_folder() / (files.front().runs.front().gpu + ".json");
  const GpuSpec gpu = read_gpu_spec(read_json_file(gpu_file));
  const Profile base = read_profile_file(options.onto);
  FitRequest request;
  request.id = options.id.empty() ? fs::path(options.out).stem().string() : options.id;
  request.about = options.about.empty() ? "Fitted on " + gpu.name + "." : options.about;
  if (!options.plan.empty())
    request.rule = options.plan == tile_rule_name(TileRule::fewest_waves) ? TileRule::fewest_waves
                                                                          : TileRule::fastest;
  request.smoothing = options.smoothing;
  request.keep_points = options.keep_points;
  request.allow_noisy = options.allow_noisy;
  request.leave_out_disagreeing = options.leave_out_disagreeing;
  request.num_threads = num_threads(options.threads);
  const FitResult result = fit_profile(files, gpu, base, request);
  if (!options.out.empty()) {
    const std::string text = profile_text(result.profile, gpu_reference(gpu_file, options.out));
    check_reads_back(text, gpu_file, options.out);
    write_file(options.out, text);
  }
  print(fit_report(result) + (cut.empty() ? "" : "\n" + cut));
  return kDone;
}

int transfer(const std::string& profile_file, const std::string& gpu_name, const std::string& out) {
  const fs::path gpu_file = gpu_folder() / (gpu_name + ".json");
  if (!fs::is_regular_file(gpu_file))
    throw InputError("--gpu " + gpu_name, "no file " + gpu_file.string() + " describes it");
  const Profile profile = read_profile_file(profile_file);
  const GpuSpec gpu = read_gpu_spec(read_json_file(gpu_file));
  if (profile.gpu.name == gpu.name)
    throw InputError(profile_file, "is a profile of the " + gpu.name + " already");
  Profile derived = transferred(profile, gpu);
  derived.about = "Derived from " + profile.id + " (" + profile.gpu.name +
                  ") by datasheet ratios; nothing was measured on the " + gpu.name + ".";
  write_file(out, profile_text(derived, gpu_reference(gpu_file, out)));
  print("wrote " + out + ": " + derived.id + ", derived from " + derived.derived_from + "\n");
  return kDone;
}

}  // namespace

void add_fit_command(CLI::App& app, CalibrateContext& context) {
  CLI::App* command = app.add_subcommand("fit", "Fit points into a profile, with its error");
  command->footer(
      "Example: moesim-calibrate fit points.jsonl --onto scenarios/profiles/h800-published.json "
      "-o mine.json\n"
      "Errors are |predicted / measured - 1| on points that the fit had not seen.");
  auto options = std::make_shared<Options>();
  command->add_option("points", options->points, "Files of points (moesim-points/1)")->required();
  command
      ->add_option("--onto",
                   options->onto,
                   "Profile that says the rest: links, launches, kernels without points")
      ->required();
  command->add_option("-o,--output", options->out, "Profile to write; without it only the report");
  command->add_option("--id", options->id, "Its id (default: the file's name)");
  command->add_option("--about", options->about, "What it is, in a sentence");
  command
      ->add_option("--plan", options->plan, "Tile rule of GEMM points that do not name their own")
      ->check(CLI::IsMember({"fastest", "fewest_waves"}));
  command
      ->add_option("--smoothing", options->smoothing, "Of the residual, in octaves (default 0.03)")
      ->check(CLI::Range(1e-4, 10.0));
  command->add_flag("--keep-points",
                    options->keep_points,
                    "Write GEMM points into the profile, to be used as measured");
  command->add_flag(
      "--allow-noisy", options->allow_noisy, "Fit a run whose repeats differ too much");
  command->add_flag("--leave-out-disagreeing",
                    options->leave_out_disagreeing,
                    "Leave out shapes whose repeats differ by more than a quarter");
  command->add_option("--threads", options->threads, "Threads to use (default: all cores)")
      ->check(CLI::Range(1, 1024));
  command->callback([&context, options] { context.chosen = [options] { return fit(*options); }; });
}

void add_transfer_command(CLI::App& app, CalibrateContext& context) {
  CLI::App* command =
      app.add_subcommand("transfer", "Carry a profile to another GPU by datasheet ratios");
  command->footer(
      "Example: moesim-calibrate transfer scenarios/profiles/h800-published.json --gpu h200 "
      "-o h200-derived.json");
  struct TransferOptions {
    std::string profile, gpu, out;
  };
  auto options = std::make_shared<TransferOptions>();
  command->add_option("profile", options->profile, "The other GPU's profile")->required();
  command->add_option("--gpu", options->gpu, "A file of scenarios/gpus, without .json")->required();
  command->add_option("-o,--output", options->out, "Profile to write")->required();
  command->callback([&context, options] {
    context.chosen = [options] { return transfer(options->profile, options->gpu, options->out); };
  });
}

}  // namespace moesim
