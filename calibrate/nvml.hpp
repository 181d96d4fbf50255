// Clocks, power, temperature and what holds the clocks back, from the driver's management library,
// which is looked for when the program runs. Its functions and constants are as its documentation
// declares them (NVML API reference); a test brings its own functions.
//
// A thread takes a sample every 20 ms; state() is the mean of those since it was last asked, of the
// times when the GPU was not idle.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "calibrate/device.hpp"

namespace moesim {

using NvmlDevice = struct NvmlDeviceHandle*;

struct NvmlApi {
  // Results: 0 is success.
  int (*init)() = nullptr;                                              // nvmlInit_v2
  int (*device_by_pci)(const char* bus_id, NvmlDevice*) = nullptr;      // ..GetHandleByPciBusId_v2
  int (*clock_mhz)(NvmlDevice, int type, unsigned* value) = nullptr;    // nvmlDeviceGetClockInfo
  int (*power_mw)(NvmlDevice, unsigned* value) = nullptr;               // nvmlDeviceGetPowerUsage
  int (*temperature)(NvmlDevice, int sensor, unsigned* value) = nullptr;
  int (*throttle_reasons)(NvmlDevice, unsigned long long* bits) = nullptr;
  int (*driver_version)(char* text, unsigned size) = nullptr;           // nvmlSystemGet..
};

// std::runtime_error where the library is not there.
NvmlApi load_nvml();

// Names of the bits that mean the GPU runs below the clocks it asked for.
std::vector<std::string> throttle_names(unsigned long long bits);

class GpuSampler {
 public:
  // std::runtime_error where the library does not know the GPU. `period` is for tests.
  GpuSampler(const NvmlApi& api,
             const std::string& pci_bus_id,
             std::chrono::milliseconds period = std::chrono::milliseconds(20));
  ~GpuSampler();
  GpuSampler(const GpuSampler&) = delete;
  GpuSampler& operator=(const GpuSampler&) = delete;

  DeviceState state();
  std::string driver_version() const;

 private:
  struct Sample {
    bool idle = false;
    std::optional<double> sm_mhz, memory_mhz, power_w, temperature_c;
    unsigned long long reasons = 0;
  };
  Sample sample() const;
  void run();

  NvmlApi api_;
  NvmlDevice device_ = nullptr;
  std::chrono::milliseconds period_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::vector<Sample> samples_;  // since state() was last called
  std::thread thread_;
};

}  // namespace moesim
