#include <utility>

#include "kernels/gate.hpp"
#include "kernels/gate_score.hpp"
#include "kernels/vectors.hpp"

namespace moesim {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32;
constexpr int kMostPerLane = 16, kMostChosen = 32;

// Integers in the order of the floats they come from, none of them 0; NaN comes before all, and the
// two zeros are equal.
__device__ std::uint32_t in_order(float value) {
  const std::uint32_t bits = float_to_bits(__fadd_rn(value, 0));
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 1;
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

template <int kPerLane>
struct Best {
  std::uint32_t key = 0;
  int at = 0;  // of the lane's experts

  __device__ explicit Best(const std::uint32_t (&keys)[kPerLane]) {
#pragma unroll
    for (int i = kPerLane - 1; i >= 0; --i)
      if (keys[i] >= key) {  // of equal ones the first
        key = keys[i];
        at = i;
      }
  }
  __device__ void take_from(std::uint32_t (&keys)[kPerLane]) const {
#pragma unroll
    for (int i = 0; i < kPerLane; ++i)
      if (i == at) keys[i] = 0;
  }
};

__device__ float from_order(std::uint32_t key) {
  return bits_to_float((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}

// The sum of the best `scored` keys of this lane's group, or of their sigmoids, from the best down.
template <int kPerLane>
__device__ float group_score(std::uint32_t (&keys)[kPerLane],
                             int lanes,
                             int scored,
                             bool sigmoids) {
  const unsigned lane = threadIdx.x % 32;
  float sum = 0;
  for (int round = 0; round < scored; ++round) {
    const Best<kPerLane> best(keys);
    // The lane travels with its key, so that one lane alone gives its best up.
    std::uint32_t key = best.key;
    unsigned owner = lane;
    for (int other = lanes / 2; other > 0; other /= 2) {
      const std::uint32_t its_key = __shfl_xor_sync(~0u, key, other);
      const unsigned its_owner = __shfl_xor_sync(~0u, owner, other);
      if (its_key > key || (its_key == key && its_owner < owner)) {
        key = its_key;
        owner = its_owner;
      }
    }
    if (owner == lane) best.take_from(keys);
    const float value = from_order(key);
    sum = __fadd_rn(sum, sigmoids ? gate_sigmoid(value) : value);
  }
  return sum;
}

// Leaves the experts of the best groups; of equal groups the first are the better.
template <int kPerLane>
__device__ void keep_best_groups(const GateTopK& p, std::uint32_t (&keys)[kPerLane]) {
  const int lanes = 32 / p.num_groups, group_size = p.num_experts / p.num_groups,
            each = p.top_k / p.max_groups,
            scored = each < 1            ? 1
                     : each > group_size ? group_size
                                         : each;
  std::uint32_t left[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) left[i] = keys[i];
  // Without a bias keys are logits, and a single one is compared as it is.
  const float score = group_score(left, lanes, scored, p.bias == nullptr && scored > 1);
  const int group = static_cast<int>(threadIdx.x % 32) / lanes;
  int num_better = 0;
  for (int g = 0; g < p.num_groups; ++g) {
    const float other = __shfl_sync(~0u, score, g * lanes);
    if (other > score || (other == score && g < group)) ++num_better;
  }
  if (num_better >= p.max_groups)
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) keys[i] = 0;
}

// The expert of each lane's rank: the highest key left, of equal ones the first expert.
template <int kPerLane>
__device__ int choose_experts(std::uint32_t (&keys)[kPerLane], int top_k) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int mine = 0;
  for (int rank = 0; rank < top_k; ++rank) {
    const Best<kPerLane> best(keys);
    const std::uint32_t highest = __reduce_max_sync(~0u, best.key);
    const int owner = __ffs(static_cast<int>(__ballot_sync(~0u, best.key == highest))) - 1;
    const int expert = __shfl_sync(~0u, lane * kPerLane + best.at, owner);
    if (owner == lane) best.take_from(keys);
    if (rank == lane) mine = expert;
  }
  return mine;
}

template <int kPerLane>
__global__ void __launch_bounds__(kThreads) gate_kernel(const GateTopK p) {
  const std::int64_t token = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (token >= p.num_tokens) return;  // a whole warp
  const int lane = static_cast<int>(threadIdx.x % 32);
  const float* const logits = p.logits + token * p.num_experts;
  constexpr int kWidth = kPerLane % 4 == 0 ? 4 : 1;  // of a load
  float values[kPerLane], bias[kPerLane] = {};
#pragma unroll
  for (int i = 0; i < kPerLane; i += kWidth) {
    const int at = lane * kPerLane + i;
    memcpy(values + i, __builtin_assume_aligned(logits + at, 4 * kWidth), 4 * kWidth);
    if (p.bias != nullptr)
      memcpy(bias + i, __builtin_assume_aligned(p.bias + at, 4 * kWidth), 4 * kWidth);
  }
  std::uint32_t keys[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i)
    keys[i] = in_order(p.bias == nullptr ? values[i] : __fadd_rn(gate_sigmoid(values[i]), bias[i]));
  if (p.max_groups < p.num_groups) keep_best_groups(p, keys);
  const int expert = choose_experts(keys, p.top_k);
  const float affinity = lane < p.top_k ? gate_sigmoid(logits[expert]) : 0;
  float sum = 0;
  for (int rank = 0; rank < p.top_k; ++rank) sum = __fadd_rn(sum, __shfl_sync(~0u, affinity, rank));
  if (lane >= p.top_k) return;
  p.experts[token * p.top_k + lane] = expert;
  p.weights[token * p.top_k + lane] = __fmul_rn(affinity, __fdiv_rn(p.scale, sum));
}

using GateKernel = void (*)(GateTopK);

template <int... kBelow>
GateKernel gate_kernel_of(int per_lane, std::integer_sequence<int, kBelow...> /*all*/) {
  constexpr GateKernel kKernels[] = {gate_kernel<kBelow + 1>...};
  return kKernels[per_lane - 1];
}

}  // namespace

void gate_top_k(const GateTopK& p, Stream stream) {
  const int groups = p.num_groups;
  refuse_unless(
      p.num_experts % 32 == 0 && p.num_experts >= 32 && p.num_experts <= 32 * kMostPerLane,
      "gate_top_k: experts are no multiple of 32 from 32 to 512");
  refuse_unless(groups >= 1 && groups <= 32 && (groups & (groups - 1)) == 0,
                "gate_top_k: groups are none of 1, 2, 4, 8, 16 and 32");
  refuse_unless(p.max_groups >= 1 && p.max_groups <= groups,
                "gate_top_k: fewer than one group, or more than all, may be chosen");
  refuse_unless(
      p.top_k >= 1 && p.top_k <= kMostChosen && p.top_k <= p.max_groups * (p.num_experts / groups),
      "gate_top_k: more experts to choose than 32 or than the chosen groups have");
  if (p.num_tokens == 0) return;
  launch("gate_top_k",
         stream,
         gate_kernel_of(p.num_experts / 32, std::make_integer_sequence<int, kMostPerLane>()),
         dim3(static_cast<unsigned>((p.num_tokens + kWarps - 1) / kWarps)),
         dim3(kThreads),
         0,
         p);
}

}  // namespace moesim
