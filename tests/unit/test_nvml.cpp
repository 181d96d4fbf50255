// Samples of a GPU's state, from a management library that is made up.
#include "calibrate/nvml.hpp"

#include <atomic>
#include <thread>

#include "tests/catch.hpp"

using namespace moesim;
using Catch::Matchers::Contains;

namespace {

std::atomic<unsigned> clock_mhz_now{1755};
std::atomic<unsigned long long> reasons_now{0};
std::atomic<int> samples_taken{0};
std::atomic<bool> knows_power{true};

NvmlApi fake_nvml() {
  clock_mhz_now = 1755;
  reasons_now = 0;
  samples_taken = 0;
  knows_power = true;
  NvmlApi api;
  api.init = [] { return 0; };
  api.device_by_pci = [](const char* bus, NvmlDevice* /*device*/) {
    return std::string(bus) == "0000:01:00.0" ? 0 : 6;
  };
  api.clock_mhz = [](NvmlDevice, int type, unsigned* value) {
    *value = type == 1 ? clock_mhz_now.load() : 2619;
    return 0;
  };
  api.power_mw = [](NvmlDevice, unsigned* value) {
    *value = 612500;
    return knows_power ? 0 : 3;
  };
  api.temperature = [](NvmlDevice, int /*sensor*/, unsigned* value) {
    *value = 61;
    return 0;
  };
  api.throttle_reasons = [](NvmlDevice, unsigned long long* bits) {
    *bits = reasons_now;
    ++samples_taken;
    return 0;
  };
  api.driver_version = [](char* text, unsigned size) {
    std::snprintf(text, size, "580.1");
    return 0;
  };
  return api;
}

void wait_for_samples(int more) {
  const int until = samples_taken + more;
  while (samples_taken < until) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

constexpr auto kFast = std::chrono::milliseconds(1);
constexpr auto kNever = std::chrono::hours(1);

}  // namespace

TEST_CASE("a state is told in our units", "[nvml]") {
  GpuSampler sampler(fake_nvml(), "0000:01:00.0", kNever);
  const DeviceState state = sampler.state();
  CHECK(state.sm_clock_mhz == 1755);
  CHECK(state.memory_clock_mhz == 2619);
  CHECK(state.power_w == Approx(612.5));
  CHECK(state.temperature_c == 61);
  CHECK(state.throttled_by.empty());
  CHECK(sampler.driver_version() == "580.1");
}

TEST_CASE("what the library cannot tell is absent", "[nvml]") {
  GpuSampler sampler(fake_nvml(), "0000:01:00.0", kNever);
  knows_power = false;
  const DeviceState state = sampler.state();
  CHECK(!state.power_w);
  CHECK(state.sm_clock_mhz == 1755);
}

TEST_CASE("a reason that was there for a moment is not lost, and is told once", "[nvml]") {
  GpuSampler sampler(fake_nvml(), "0000:01:00.0", kFast);
  reasons_now = 0x4 | 0x40;
  wait_for_samples(3);
  reasons_now = 0;
  wait_for_samples(2);
  CHECK(sampler.state().throttled_by == std::vector<std::string>{"power_cap", "hardware_thermal"});
  wait_for_samples(3);
  CHECK(sampler.state().throttled_by.empty());
}

TEST_CASE("times when the GPU was idle are left out of the mean", "[nvml]") {
  GpuSampler sampler(fake_nvml(), "0000:01:00.0", kFast);
  wait_for_samples(3);
  reasons_now = 0x1;  // before the clock falls, as a sample in between would be of neither
  wait_for_samples(2);
  clock_mhz_now = 345;
  wait_for_samples(5);
  CHECK(sampler.state().sm_clock_mhz == 1755);
  CHECK(sampler.state().throttled_by.empty());
}

TEST_CASE("an idle GPU and chosen clocks are no throttling", "[nvml]") {
  CHECK(throttle_names(0x1 | 0x2).empty());
  CHECK(throttle_names(0xff) == std::vector<std::string>{"power_cap",
                                                         "hardware_slowdown",
                                                         "sync_boost",
                                                         "software_thermal",
                                                         "hardware_thermal",
                                                         "power_brake"});
}

TEST_CASE("a GPU that the library does not know is an error", "[nvml]") {
  CHECK_THROWS_WITH(GpuSampler(fake_nvml(), "0000:02:00.0"),
                    Contains("NVML, device by PCI bus id: error 6"));
}
