// A block of kernels between two synchronisation points, costed: its duration in ticks, where every
// tick goes, and what an ideal machine would have needed.
#pragma once

#include <array>
#include <cstdint>

#include "model/cost_model.hpp"
#include "model/op.hpp"
#include "model/units.hpp"

namespace moesim {

// The named steps from the datasheet peak down to the achieved FLOP rate, for work that runs on the
// compute stream.
enum class Loss : std::uint8_t {
  model_work,        // model FLOPs at the datasheet peak of their precision, all SMs
  recompute,         // forward work done a second time, at the same peak
  sm_partition,      // the SMs given to communication are missing
  gemm_efficiency,   // forward and input-gradient GEMMs below the peak of their SMs
  wgrad_efficiency,  // weight-gradient GEMMs below it
  attention_efficiency,
  non_matrix,  // kernels without matrix FLOPs
};
inline constexpr std::size_t kNumLosses = static_cast<std::size_t>(Loss::non_matrix) + 1;

struct BlockCost {
  Tick duration = 0;
  std::array<Tick, kNumCategories> by_category{};       // sums to duration
  std::array<double, kNumOrigins> seconds_by_origin{};  // kernels only, no launch gaps
  std::array<double, kNumLosses>
      seconds_by_loss{};  // sums to duration less launch gaps and exposed communication
};

BlockCost cost_of(const OpList& ops, CostCache& costs, const SmShare& share);
BlockCost cost_of(const OpList& ops, const CostModel& model, const SmShare& share);

}  // namespace moesim
