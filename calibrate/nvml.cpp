#include "calibrate/nvml.hpp"

#include <algorithm>
#include <stdexcept>

#include "calibrate/comm/shared_library.hpp"

namespace moesim {
namespace {

constexpr int kSmClock = 1, kMemoryClock = 2;  // nvmlClockType_t
constexpr int kGpuSensor = 0;                  // nvmlTemperatureSensors_t
constexpr unsigned long long kIdleBit = 0x1;   // nvmlClocksThrottleReasons

struct Reason {
  unsigned long long bit;
  const char* name;
};
// Left out: application clocks (0x2), which are what was asked for.
constexpr Reason kReasons[] = {{0x4, kPowerCap},
                               {0x8, "hardware_slowdown"},
                               {0x10, "sync_boost"},
                               {0x20, "software_thermal"},
                               {0x40, "hardware_thermal"},
                               {0x80, "power_brake"}};

void check_nvml(int result, const char* what) {
  if (result != 0)
    throw std::runtime_error(std::string("NVML, ") + what + ": error " + std::to_string(result));
}

std::optional<double> number(int result, unsigned value, double unit) {
  if (result != 0) return std::nullopt;
  return value * unit;
}

// Of the samples that have it.
class Mean {
 public:
  void add(const std::optional<double>& value) {
    if (!value) return;
    sum_ += *value;
    ++count_;
  }
  std::optional<double> value() const {
    return count_ > 0 ? std::optional<double>(sum_ / count_) : std::nullopt;
  }

 private:
  double sum_ = 0;
  int count_ = 0;
};

}  // namespace

NvmlApi load_nvml() {
  const comm::SharedLibrary library("the NVIDIA driver's management library",
                                    {"libnvidia-ml.so.1", "libnvidia-ml.so"});
  NvmlApi api;
  library.find(api.init, "nvmlInit_v2");
  library.find(api.device_by_pci, "nvmlDeviceGetHandleByPciBusId_v2");
  library.find(api.clock_mhz, "nvmlDeviceGetClockInfo");
  library.find(api.power_mw, "nvmlDeviceGetPowerUsage");
  library.find(api.temperature, "nvmlDeviceGetTemperature");
  library.find(api.throttle_reasons, "nvmlDeviceGetCurrentClocksThrottleReasons");
  library.find(api.driver_version, "nvmlSystemGetDriverVersion");
  return api;
}

std::vector<std::string> throttle_names(unsigned long long bits) {
  std::vector<std::string> names;
  for (const Reason& reason : kReasons)
    if ((bits & reason.bit) != 0) names.emplace_back(reason.name);
  return names;
}

GpuSampler::GpuSampler(const NvmlApi& api,
                       const std::string& pci_bus_id,
                       std::chrono::milliseconds period)
    : api_(api), period_(period) {
  check_nvml(api_.init(), "init");
  check_nvml(api_.device_by_pci(pci_bus_id.c_str(), &device_), "device by PCI bus id");
  thread_ = std::thread([this] { run(); });
}

GpuSampler::~GpuSampler() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

GpuSampler::Sample GpuSampler::sample() const {
  constexpr double kMilli = 1e-3;
  Sample s;
  unsigned value = 0;
  int result = api_.clock_mhz(device_, kSmClock, &value);
  s.sm_mhz = number(result, value, 1);
  result = api_.clock_mhz(device_, kMemoryClock, &value);
  s.memory_mhz = number(result, value, 1);
  result = api_.power_mw(device_, &value);
  s.power_w = number(result, value, kMilli);
  result = api_.temperature(device_, kGpuSensor, &value);
  s.temperature_c = number(result, value, 1);
  if (api_.throttle_reasons(device_, &s.reasons) != 0) s.reasons = 0;
  s.idle = (s.reasons & kIdleBit) != 0;
  return s;
}

void GpuSampler::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, period_, [this] { return stop_; })) {
    lock.unlock();  // the driver may take its time
    const Sample taken = sample();
    lock.lock();
    samples_.push_back(taken);
  }
}

DeviceState GpuSampler::state() {
  std::vector<Sample> samples;
  {
    const std::lock_guard lock(mutex_);
    samples.swap(samples_);
  }
  if (samples.empty()) samples.push_back(sample());
  const bool all_idle =
      std::all_of(samples.begin(), samples.end(), [](const Sample& s) { return s.idle; });
  Mean sm, memory, power, temperature;
  unsigned long long reasons = 0;
  for (const Sample& s : samples) {
    if (s.idle && !all_idle) continue;
    sm.add(s.sm_mhz);
    memory.add(s.memory_mhz);
    power.add(s.power_w);
    temperature.add(s.temperature_c);
    reasons |= s.reasons;
  }
  return {sm.value(), memory.value(), power.value(), temperature.value(), throttle_names(reasons)};
}

std::string GpuSampler::driver_version() const {
  char text[80] = {};  // NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE
  return api_.driver_version(text, sizeof text) == 0 ? text : "";
}

}  // namespace moesim
