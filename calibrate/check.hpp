// Every correctness check of a device, without timing anything: each operation it has a kernel for,
// at each of the case's small shapes, against the CPU reference. What measuring does before it
// times an operation, but all of it and to the end. Where that is asked for, then at every shape of
// a suite, by samples of the outputs.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/device.hpp"

namespace moesim {

struct CheckedCall {
  const Case* of = nullptr;
  Call call;
  bool sampled = false;
  double error = 0;  // relative L2, of the worst output
  double tolerance = 0;
  std::optional<std::string> problem;  // what is wrong: an output past its tolerance, or an error
};

enum class CheckShapes : std::uint8_t { small, core, all };  // small, and those of a suite

struct CheckResult {
  std::vector<CheckedCall> calls;
  std::vector<std::string> not_run;    // operations that the device has no kernel for, and why
  std::vector<std::string> not_taken;  // of which shapes were left out, for a kernel refuses them
  bool all_right() const;
};

// Of the operations in `only`, or of all. An error of the device in one call is that call's problem
// and does not end the run. Refuses (InputError) names that cannot be checked.
CheckResult check_device(Device& device,
                         const std::vector<std::string>& only,
                         std::uint64_t seed,
                         const std::function<void(const std::string&)>& progress,
                         CheckShapes shapes = CheckShapes::small);

// Markdown: operation, shape, error, tolerance, verdict; of sampled shapes a line an operation, and
// those that are wrong.
std::string check_text(const CheckResult& result);

}  // namespace moesim
