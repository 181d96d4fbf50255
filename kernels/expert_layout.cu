// expert_layout of kernels/permute.hpp, in three kernels. A block looks at 1024 choices, in the
// order of their tokens:
//
//   count     how many of its choices each expert gets:           scratch[expert][block];
//             and all rows are marked as nobody's
//   begin     by one block, a warp an expert: where each expert's rows begin, and each block's
//   among
//             them, which replace the counts in `scratch`
//   place     choices get their rows, a warp's 128 after those of the warps before it
//
// A lane's place among equal choices of its warp is the number of them in lower lanes, so the
// layout is stable without sorting.
#include <algorithm>

#include "kernels/permute.hpp"
#include "kernels/vectors.hpp"

namespace moesim {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32, kMostExperts = 1024;
constexpr int kWarpChoices = 128, kChoices = kWarps * kWarpChoices;

// The expert of a choice on this rank, or -1.
__device__ int local_expert(const ExpertPlaces& p, std::int64_t choice) {
  if (choice >= p.tokens * p.top_k) return -1;
  const int expert = p.experts[choice] - p.first_expert;
  return expert >= 0 && expert < p.num_experts ? expert : -1;
}

__global__ void __launch_bounds__(kThreads) count_kernel(const ExpertPlaces p) {
  auto* const counts = reinterpret_cast<std::int32_t*>(dynamic_shared());  // [num_experts]
  for (int e = static_cast<int>(threadIdx.x); e < p.num_experts; e += kThreads) counts[e] = 0;
  for (std::int64_t row = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; row < p.max_rows;
       row += std::int64_t{gridDim.x} * kThreads)
    p.source[row] = -1;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kChoices; i += kThreads) {
    const int expert = local_expert(p, std::int64_t{blockIdx.x} * kChoices + i);
    if (expert >= 0) atomicAdd(&counts[expert], 1);
  }
  __syncthreads();
  for (int e = static_cast<int>(threadIdx.x); e < p.num_experts; e += kThreads)
    p.scratch[std::int64_t{e} * gridDim.x + blockIdx.x] = counts[e];
}

__device__ int warp_sum(int value) {
#pragma unroll
  for (int other = 16; other > 0; other /= 2) value += __shfl_xor_sync(~0u, value, other);
  return value;
}

// The sum over the lanes before this one, and its own.
__device__ int warp_sum_through(int value) {
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll
  for (int by = 1; by < 32; by *= 2) {
    const int before = __shfl_up_sync(~0u, value, by);
    if (lane >= by) value += before;
  }
  return value;
}

// The same over the threads of the block, all kMostExperts of which call.
__device__ int block_sum_through(int value) {
  __shared__ int warps[kMostExperts / 32];
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int in_warp = warp_sum_through(value);
  if (lane == 31) warps[warp] = in_warp;
  __syncthreads();
  const int before = warp_sum(lane < warp ? warps[lane] : 0);
  return before + in_warp;
}

// Turns the blocks' counts of an expert into the rows where they begin.
__device__ void begin_blocks(std::int32_t* of_expert, std::int64_t num_blocks, int begin) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (std::int64_t first = 0; first < num_blocks; first += 32) {
    const int count = first + lane < num_blocks ? of_expert[first + lane] : 0,
              through = warp_sum_through(count);
    if (first + lane < num_blocks) of_expert[first + lane] = begin + through - count;
    begin += __shfl_sync(~0u, through, 31);
  }
}

__global__ void __launch_bounds__(kMostExperts)
    begin_kernel(const ExpertPlaces p, std::int64_t num_blocks) {
  __shared__ int counts[kMostExperts], begins[kMostExperts];
  constexpr int kBeginWarps = kMostExperts / 32;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  counts[thread] = 0;
  __syncthreads();
  for (int e = warp; e < p.num_experts; e += kBeginWarps) {
    int count = 0;
    for (std::int64_t b = lane; b < num_blocks; b += 32) count += p.scratch[e * num_blocks + b];
    count = warp_sum(count);
    if (lane == 0) counts[e] = count;
  }
  __syncthreads();
  const int padded = (counts[thread] + p.alignment - 1) / p.alignment * p.alignment,
            through = block_sum_through(padded);
  begins[thread] = through - padded;
  if (thread < p.num_experts) {
    p.counts[thread] = counts[thread];
    p.offsets[thread + 1] = through;
    if (thread == 0) p.offsets[0] = 0;
  }
  __syncthreads();
  for (int e = warp; e < p.num_experts; e += kBeginWarps)
    begin_blocks(p.scratch + e * num_blocks, num_blocks, begins[e]);
}

// Turns counts of warps into the rows where each warp's choices begin: [kWarps][num_experts].
__device__ void begin_warps(const ExpertPlaces& p, std::int32_t* next) {
  for (int e = static_cast<int>(threadIdx.x); e < p.num_experts; e += kThreads) {
    int row = p.scratch[std::int64_t{e} * gridDim.x + blockIdx.x];
    for (int warp = 0; warp < kWarps; ++warp) {
      const int of_warp = next[warp * p.num_experts + e];
      next[warp * p.num_experts + e] = row;
      row += of_warp;
    }
  }
}

__global__ void __launch_bounds__(kThreads) place_kernel(const ExpertPlaces p) {
  auto* const next = reinterpret_cast<std::int32_t*>(dynamic_shared());  // [kWarps][num_experts]
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  std::int32_t* const of_warp = next + warp * p.num_experts;
  for (int i = static_cast<int>(threadIdx.x); i < kWarps * p.num_experts; i += kThreads)
    next[i] = 0;
  __syncthreads();
  const std::int64_t first = std::int64_t{blockIdx.x} * kChoices + warp * kWarpChoices + lane;
  int experts[kWarpChoices / 32];
#pragma unroll
  for (int i = 0; i < kWarpChoices / 32; ++i) {
    experts[i] = local_expert(p, first + 32 * i);
    if (experts[i] >= 0) atomicAdd(&of_warp[experts[i]], 1);
  }
  __syncthreads();
  begin_warps(p, next);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kWarpChoices / 32; ++i) {
    const std::int64_t choice = first + 32 * i;
    const unsigned equal = __match_any_sync(~0u, experts[i]);
    const unsigned lower = equal & ((1u << lane) - 1);
    const int row = experts[i] < 0 ? -1 : of_warp[experts[i]] + __popc(lower);
    __syncwarp();  // all have read where this round begins
    if (experts[i] >= 0 && lower == 0) of_warp[experts[i]] += __popc(equal);
    __syncwarp();
    if (choice >= p.tokens * p.top_k) continue;
    p.position[choice] = row;
    if (row >= 0) p.source[row] = static_cast<std::int32_t>(choice / p.top_k);
  }
}

// One where there is no choice: rows are marked all the same.
std::int64_t num_blocks(const ExpertPlaces& p) {
  return std::max<std::int64_t>(1, (p.tokens * p.top_k + kChoices - 1) / kChoices);
}

void refuse_wrong_sizes(const ExpertPlaces& p) {
  refuse_unless(p.num_experts >= 1 && p.num_experts <= kMostExperts,
                "expert_layout: a rank has 1 to 1024 experts");
  refuse_unless(p.alignment >= 1, "expert_layout: alignment is below 1");
}

std::size_t bytes_of_counts(const ExpertPlaces& p) {
  return sizeof(std::int32_t) * static_cast<std::size_t>(p.num_experts);
}

}  // namespace

std::int64_t expert_layout_rows(const ExpertPlaces& p) {
  const std::int64_t rows = p.tokens * p.top_k;
  return rows + std::min<std::int64_t>(rows, p.num_experts) * (p.alignment - 1);
}

std::int64_t expert_layout_scratch(const ExpertPlaces& p) { return num_blocks(p) * p.num_experts; }

void expert_count(const ExpertPlaces& p, Stream stream) {
  refuse_wrong_sizes(p);
  const std::int64_t blocks = num_blocks(p);
  launch("expert_count",
         stream,
         count_kernel,
         dim3(static_cast<unsigned>(blocks)),
         dim3(kThreads),
         bytes_of_counts(p),
         p);
  launch("expert_begin", stream, begin_kernel, dim3(1), dim3(kMostExperts), 0, p, blocks);
}

void expert_place(const ExpertPlaces& p, Stream stream) {
  refuse_wrong_sizes(p);
  launch("expert_place",
         stream,
         place_kernel,
         dim3(static_cast<unsigned>(num_blocks(p))),
         dim3(kThreads),
         kWarps * bytes_of_counts(p),
         p);
}

void expert_layout(const ExpertPlaces& p, Stream stream) {
  expert_count(p, stream);
  expert_place(p, stream);
}

}  // namespace moesim
