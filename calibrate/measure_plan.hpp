// Which calls a run measures and in what order: tier by tier, and within a tier all operations at
// the same pace, so that a run stopped anywhere has something of each.
#pragma once

#include <string>
#include <vector>

#include "calibrate/device.hpp"

namespace moesim {

// `small` is the first tier of every operation: enough for a fit, and for tests. `hopper` is all.
enum class Suite : std::uint8_t { hopper, small };

struct PlannedCall {
  const Case* of = nullptr;
  Tier tier = Tier::core;
  Call call;
};

struct MeasuringPlan {
  std::vector<PlannedCall> calls;
  std::size_t num_left_out = 0;  // that the device cannot run
};

// Those in `only`, or all that a device can measure when it is empty. Refuses (InputError) names
// that cannot be measured.
std::vector<const Case*> chosen_cases(const std::vector<std::string>& only);

// Of chosen_cases(only).
MeasuringPlan measuring_plan(Suite suite,
                             const std::vector<std::string>& only,
                             const Device& device);

inline constexpr int kWarmUps = 3;
// Repeats of a call that takes this long: 5 ms of them, but no fewer than 10 and no more than 40.
int num_repeats(Seconds time);

// Of one call with its warm-ups and repeats, cold and warm, on a kernel that reaches 55 % of the
// datasheet; without checks and sentinels.
Seconds estimated_time(const PlannedCall& planned, const GpuSpec& gpu);

// Markdown: calls and estimated seconds by operation.
std::string plan_text(const MeasuringPlan& plan, const GpuSpec& gpu);

// What tells a call from all others.
std::string call_key(const Case& of, const Call& call);
// "gemm_fp8 m=4096 n=4096 k=7168, 112 SMs beside communication", for people.
std::string call_text(const Case& of, const Call& call);

}  // namespace moesim
