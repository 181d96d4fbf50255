// Work to seconds: one kernel alone on its share of the SMs. Every cost says where it came from;
// there is no silent default efficiency. A kernel the profile does not know is costed at the GPU's
// own datasheet roofline and says so.
//
// Left out: L2 residency, clocks and power throttling (the profile's points already contain them),
// kernels that share SMs.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "model/op.hpp"
#include "model/profile.hpp"

namespace moesim {

// Where a predicted time comes from, best first.
enum class Origin : std::uint8_t { measured, interpolated, extrapolated, roofline };
inline constexpr std::size_t kNumOrigins = 4;
inline constexpr std::array<const char*, kNumOrigins> kOriginNames = {
    "measured", "interpolated", "extrapolated", "roofline"};

struct Cost {
  Seconds time;  // all launches of the operation, launch gaps not included
  Origin origin = Origin::roofline;
};

struct SmShare {
  std::int64_t compute_sms = 0;       // SMs this kernel may use
  bool beside_communication = false;  // communication kernels run on the other SMs meanwhile
};

class CostModel {
 public:
  // `gpu` is the GPU to predict. When it is not the profile's own, efficiencies carry over to its
  // datasheet peaks and every origin becomes `extrapolated` (is_derived()).
  CostModel(const Profile& profile, const GpuSpec& gpu);

  Cost cost(const Op& op, const SmShare& share) const;
  // The time at the datasheet peak of the op's precision with all SMs: 0 for kernels without FLOPs.
  Seconds ideal_time(const Op& op) const;
  // Launch gaps of all launches.
  Seconds gaps(const Op& op) const { return op.launches * profile_.launch_gap; }

  bool is_derived() const { return derived_; }
  const Profile& profile() const { return profile_; }
  const GpuSpec& gpu() const { return gpu_; }

 private:
  Cost gemm_cost(const Op& op, const SmShare& share) const;
  Cost attention_cost(const Op& op, const SmShare& share) const;
  Cost memory_cost(const Op& op, const SmShare& share) const;
  FlopRate peak(Kernel kernel) const;

  Profile profile_;
  GpuSpec gpu_;
  bool derived_;
  bool same_compute_;  // the datasheets agree on everything but links: measured points hold as they
                       // are
};

// Seconds of one GEMM launch by the form above GemmModel; exposed for tests and for the profile's
// error figures.
Seconds gemm_time(const GemmModel& model,
                  FlopRate peak,
                  const GpuSpec& gpu,
                  const GemmShape& shape,
                  double in_bytes,
                  std::int64_t sms);

}  // namespace moesim
