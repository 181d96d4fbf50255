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
#include <unordered_map>

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
  double log_error = 0;  // half-width of the 90 % interval of log(time)
};

struct SmShare {
  std::int64_t compute_sms = 0;       // SMs this kernel may use
  bool beside_communication = false;  // communication kernels run on the other SMs meanwhile
};

class CostModel {
 public:
  // `gpu` is the GPU to predict. When it is not the profile's own, the profile is carried over
  // (model/profile_transfer) and every origin becomes `extrapolated` (is_derived()).
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
  // One launch, before anything runs beside it.
  struct Estimate {
    Seconds time;
    Origin origin = Origin::interpolated;
    double distance = 0;  // octaves beyond what was measured
  };
  Estimate gemm_estimate(const Op& op,
                         Kernel measured_as,
                         const GemmModel& model,
                         const SmShare& share) const;
  Estimate attention_estimate(const Op& op,
                              const AttentionModel& model,
                              const SmShare& share) const;
  Estimate decode_estimate(const Op& op, const DecodeModel& model, const SmShare& share) const;
  Estimate memory_estimate(const Op& op, const MemoryModel& model, const SmShare& share) const;
  const GemmModel* gemm_model(Kernel kernel) const;
  FlopRate peak(Kernel kernel) const;

  Profile profile_;
  GpuSpec gpu_;
  bool derived_;
};

// Costs that a caller asks for again and again: thousands of ranks share some hundred shapes. One
// for each thread. Operations with rows per expert are not remembered.
class CostCache {
 public:
  explicit CostCache(const CostModel& model) : model_(model) {}
  Cost cost(const Op& op, const SmShare& share);
  const CostModel& model() const { return model_; }

 private:
  // All that a cost depends on.
  using Key = std::array<std::uint64_t, 16>;
  struct Hash {
    std::size_t operator()(const Key& key) const;
  };
  const CostModel& model_;
  std::unordered_map<Key, Cost, Hash> costs_;
};

}  // namespace moesim
