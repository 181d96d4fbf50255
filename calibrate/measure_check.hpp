// Verify before timing: an operation's kernel is run at its small shapes and compared with the CPU
// reference, once, before the first of its calls is timed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "calibrate/device.hpp"

namespace moesim {

struct Verification {
  double worst = 0;                  // relative L2 error over all checks and outputs
  std::optional<std::string> wrong;  // what was found, where the kernel is wrong
};

// Those of the case's small shapes that the device's kernel takes: a library may want sizes
// aligned.
std::vector<Call> runnable_checks(const Device& device, const Case& of);
// At all of these; ends at the first that is wrong.
Verification verify(Device& device, const Case& of, std::uint64_t seed);
// At one shape, all of its outputs.
Verification verify_call(Device& device, const Case& of, const Call& call, std::uint64_t seed);
// At one shape of any size, the case's samples of its outputs.
Verification verify_samples(Device& device, const Case& of, const Call& call, std::uint64_t seed);

}  // namespace moesim
