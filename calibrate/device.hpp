// What calibration asks of a GPU: to say what it is, to run an operation on given inputs, and to
// time it. Behind it is the fake device (calibrate/fake_device.hpp) and, where CUDA is, a real one.
//
// A call is prepared once: buffers are made and filled, the kernel and its launch chosen. Its
// results are checked and its time is taken on that same preparation, so that what is timed is what
// was checked.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/reference.hpp"
#include "model/json_writer.hpp"
#include "model/profile.hpp"
#include "model/units.hpp"

namespace moesim {

// Where the inputs of a timed kernel are: in HBM, the L2 flushed before every repeat, or in L2 as
// far as they fit, left there by the repeat before.
enum class Cache : std::uint8_t { cold, warm };

struct DeviceInfo {
  std::string name;  // as its driver calls it; a resumed run has to be on the same
  std::string gpu;   // name of a file in scenarios/gpus, without ".json"
  ProfileKind kind = ProfileKind::measured;
  std::int64_t num_sms = 0;
  std::string other_kernels;  // whose it runs, where they are none that follow a plan of ours
  std::string timer, flush;   // how time is taken and how the L2 is emptied
  JsonValue::Object details;  // versions, and of a real device host and date; the unknown is absent
};

// A GPU at its power limit lowers its clocks: under a sustained load of matrix products that is how
// it runs, and no fault of the measurement.
inline constexpr const char* kPowerCap = "power_cap";

// While a call ran. What the device cannot tell is absent.
struct DeviceState {
  std::optional<double> sm_clock_mhz, memory_clock_mhz, power_w, temperature_c;
  std::vector<std::string> throttled_by;  // reasons; empty: ran at the clocks it asked for
};

class PreparedCall {
 public:
  PreparedCall() = default;
  PreparedCall(const PreparedCall&) = delete;
  PreparedCall& operator=(const PreparedCall&) = delete;
  virtual ~PreparedCall() = default;

  // Runs once into outputs poisoned with NaN and reads them back, in the order and shape of the
  // case's reference.
  virtual Arrays outputs() = 0;
  // The same, but of the outputs only the places of `wanted`, with what is there as their values.
  virtual Pieces pieces(Pieces wanted) = 0;
  // Of each repeat: the kernel alone, without the launch. A later call goes on from the one before.
  virtual std::vector<Seconds> time(Cache cache, int repeats) = 0;
};

// Errors of the device are std::runtime_error.
class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  virtual const DeviceInfo& info() const = 0;
  // False where it has no kernel for the operation or too little memory for the call.
  virtual bool can_run(const Case& of, const Call& call) const = 0;
  // Inputs are those of the case's reference for this seed.
  virtual std::unique_ptr<PreparedCall> prepare(const Case& of,
                                                const Call& call,
                                                std::uint64_t seed) = 0;
  // Which kernel it runs an operation by; empty: it has none or they have no names. Points of one
  // operation by two kernels are two things, and are not fitted together.
  virtual std::string_view kernel_of(const Case& /*of*/) const { return {}; }
  // Why it cannot run an operation that it might have run, on one line; empty: nothing to say.
  virtual std::string problem_of(const Case& /*of*/) const { return {}; }
  virtual DeviceState state() = 0;  // since it was last asked
  virtual Seconds clock() = 0;      // since the device was opened
  // Of one empty kernel: as a node of a graph, and launched into a stream.
  struct LaunchOverhead {
    Seconds graph, stream;
  };
  virtual LaunchOverhead launch_overhead() = 0;
  // Of prepared calls of this device, one after the other in one stream, each finding in L2 what
  // those before it left; the median of several runs. nullopt: the device cannot tell.
  virtual std::optional<Seconds> time_in_order(const std::vector<PreparedCall*>& /*calls*/) {
    return std::nullopt;
  }
};

}  // namespace moesim
