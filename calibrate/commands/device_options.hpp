// The options that say which device a command runs on, and the opening of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "calibrate/device.hpp"
#include "model/cluster_spec.hpp"

namespace CLI {
class App;
}

namespace moesim {

struct DeviceOptions {
  std::string device, gpu = "h100", routes = "own";
  std::uint64_t seed = 1;
  double fake_noise = 0.02;
  std::vector<std::string> fake_faults;
};
void add_device_options(CLI::App& command, DeviceOptions& options);

struct OpenedDevice {
  GpuSpec gpu;  // of the fake device, the one it was told to be
  std::unique_ptr<Device> device;
};
OpenedDevice open_device(const DeviceOptions& options);

}  // namespace moesim
