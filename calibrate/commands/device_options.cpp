#include "calibrate/commands/device_options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "calibrate/commands/commands.hpp"
#include "calibrate/fake_device.hpp"
#include "model/json_message.hpp"
#if defined(MOE_CUDA)
#include "calibrate/cuda/cuda_device.hpp"
#endif

namespace moesim {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> gpu_names() {
  std::vector<std::string> known;
  for (const fs::directory_entry& entry : fs::directory_iterator(gpu_folder()))
    if (entry.path().extension() == ".json") known.push_back(entry.path().stem().string());
  std::sort(known.begin(), known.end());
  return known;
}

GpuSpec read_gpu(const std::string& name) {
  const std::vector<std::string> known = gpu_names();
  if (std::find(known.begin(), known.end(), name) == known.end())
    throw InputError("--gpu", in_quotes(name) + " is no GPU; expected one of " + joined(known));
  return read_gpu_spec(read_json_file(gpu_folder() / (name + ".json")));
}

OpenedDevice open_cuda([[maybe_unused]] const std::string& routes) {
#if defined(MOE_CUDA)
  std::unique_ptr<Device> device = make_cuda_device(gpu_names(),
                                                    routes == "library" ? Routes::library
                                                    : routes == "naive" ? Routes::naive
                                                                        : Routes::own);
  GpuSpec gpu = read_gpu(device->info().gpu);
  return {std::move(gpu), std::move(device)};
#else
  throw std::runtime_error("this build has no CUDA device; --device=fake needs none");
#endif
}

}  // namespace

void add_device_options(CLI::App& command, DeviceOptions& options) {
  command.add_option("--device", options.device, "fake: times from a formula; cuda: this GPU")
      ->required()
      ->check(CLI::IsMember({"fake", "cuda"}));
  command
      .add_option("--routes",
                  options.routes,
                  "own: our kernels, and libraries' where we have none; library: libraries' alone, "
                  "to compare ours with; naive: plain versions of ours")
      ->check(CLI::IsMember({"own", "library", "naive"}))
      ->capture_default_str();
  command.add_option("--seed", options.seed, "Of the inputs, and of the fake device's noise")
      ->capture_default_str();
  command.add_option("--gpu", options.gpu, "That the fake device is, a file of scenarios/gpus")
      ->capture_default_str();
  command
      .add_option("--fake-noise", options.fake_noise, "Of the fake device: deviation of the log")
      ->check(CLI::Range(0.0, 0.5))
      ->capture_default_str();
  command.add_option("--fake-fault",
                     options.fake_faults,
                     "Of the fake device: wrong=OP, unwritten=OP, drift=S, dies=N, noisy, "
                     "throttled");
}

OpenedDevice open_device(const DeviceOptions& options) {
  if (options.device == "cuda") return open_cuda(options.routes);
  if (options.routes != "own")
    throw InputError(
        "--routes",
        "is " + in_quotes(options.routes) + ", which the fake device has none of; expected own");
  GpuSpec gpu = read_gpu(options.gpu);
  auto device =
      make_fake_device(options.gpu, gpu, {options.fake_noise, options.seed, options.fake_faults});
  return {std::move(gpu), std::move(device)};
}

}  // namespace moesim
