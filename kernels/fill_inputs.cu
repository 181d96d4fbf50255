#include <algorithm>
#include <cmath>

#include "kernels/fill_inputs.hpp"

namespace moesim {
namespace {

constexpr int kFillThreads = 256, kFillScaleBlock = 128;
constexpr float kFillLargest = 448, kFillLeastAmax = 1e-4F;  // calibrate/reference_fp8

// Finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
__host__ __device__ inline std::uint64_t mix_bits(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31U);
}

// The sum of the eight bytes of a hash, less its mean, over its standard deviation.
struct NormalHash {
  std::uint64_t stream;
  std::int64_t first;
  double deviation;  // from the host: its square root is the reference's
};

NormalHash normal_hash(InputStream from) {
  return {mix_bits(mix_bits(from.seed) ^ from.operand), from.first, std::sqrt(8 * 65535.0 / 12)};
}

__device__ inline float normal_at(const NormalHash& hash, std::int64_t index) {
  std::uint64_t bytes = mix_bits(hash.stream ^ static_cast<std::uint64_t>(hash.first + index));
  unsigned sum = 0;
  for (int byte = 0; byte < 8; ++byte, bytes >>= 8U) sum += static_cast<unsigned>(bytes & 0xffU);
  return static_cast<float>((static_cast<double>(sum) - 1020) / hash.deviation);
}

__device__ inline float bf16_at(const NormalHash& hash, std::int64_t index) {
  return to_float(to_bf16(normal_at(hash, index)));
}

__device__ inline void store(float* at, float value) { *at = value; }
__device__ inline void store(Bf16* at, float value) { *at = to_bf16(value); }
__device__ inline void store(E4m3* at, float value) { *at = to_e4m3(value); }

__device__ inline std::int64_t first_index() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline std::int64_t index_step() {
  return static_cast<std::int64_t>(gridDim.x) * blockDim.x;
}

template <class T>
__global__ void fill_kernel(T* values, std::int64_t size, float spread, NormalHash hash) {
  for (std::int64_t i = first_index(); i < size; i += index_step())
    store(values + i, spread * normal_at(hash, i));
}

__global__ void fill_squares_kernel(Bf16* values, std::int64_t size, NormalHash hash) {
  for (std::int64_t i = first_index(); i < size; i += index_step()) {
    const float value = normal_at(hash, i);
    values[i] = to_bf16(__fmul_rn(value, value));
  }
}

// A warp for each 1x128.
__global__ void fill_rows_kernel(FillScaledRows p, NormalHash hash) {
  const std::int64_t blocks = (p.columns + kFillScaleBlock - 1) / kFillScaleBlock;
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (std::int64_t at = first_index() / 32; at < p.rows * blocks; at += index_step() / 32) {
    const std::int64_t row = at / blocks, block = at % blocks;
    float values[4];
    float amax = kFillLeastAmax;
    for (int i = 0; i < 4; ++i) {
      const std::int64_t column = block * kFillScaleBlock + i * 32 + lane;
      values[i] = column < p.columns ? bf16_at(hash, row * p.columns + column) : 0;
      amax = fmaxf(amax, fabsf(values[i]));
    }
    for (int other = 16; other > 0; other /= 2)
      amax = fmaxf(amax, __shfl_xor_sync(~0u, amax, other));
    const float to_code = __fdiv_rn(kFillLargest, amax);
    for (int i = 0; i < 4; ++i) {
      const std::int64_t column = block * kFillScaleBlock + i * 32 + lane;
      if (column < p.columns)
        p.codes[row * p.columns + column] = to_e4m3(__fmul_rn(values[i], to_code));
    }
    if (lane == 0) p.scales[block * p.ld + row] = __fdiv_rn(amax, kFillLargest);
  }
}

// A thread block for each 128x128; every value is made twice, for it is cheaper than to keep it.
__global__ void fill_blocks_kernel(FillScaledBlocks p, NormalHash hash) {
  __shared__ float amax_of_warp[kFillThreads / 32];
  const std::int64_t blocks = (p.columns + kFillScaleBlock - 1) / kFillScaleBlock;
  const std::int64_t top = static_cast<std::int64_t>(blockIdx.x) / blocks * kFillScaleBlock,
                     left = static_cast<std::int64_t>(blockIdx.x) % blocks * kFillScaleBlock;
  const auto index_of = [&](int i) -> std::int64_t {
    const std::int64_t row = top + i / kFillScaleBlock, column = left + i % kFillScaleBlock;
    return row < p.rows && column < p.columns ? row * p.columns + column : -1;
  };
  const int thread = static_cast<int>(threadIdx.x);
  float amax = kFillLeastAmax;
  for (int i = thread; i < kFillScaleBlock * kFillScaleBlock; i += kFillThreads)
    if (const std::int64_t index = index_of(i); index >= 0)
      amax = fmaxf(amax, fabsf(bf16_at(hash, index)));
  for (int other = 16; other > 0; other /= 2) amax = fmaxf(amax, __shfl_xor_sync(~0u, amax, other));
  if (thread % 32 == 0) amax_of_warp[thread / 32] = amax;
  __syncthreads();
  for (const float other : amax_of_warp) amax = fmaxf(amax, other);
  const float to_code = __fdiv_rn(kFillLargest, amax);
  for (int i = thread; i < kFillScaleBlock * kFillScaleBlock; i += kFillThreads)
    if (const std::int64_t index = index_of(i); index >= 0)
      p.codes[index] = to_e4m3(__fmul_rn(bf16_at(hash, index), to_code));
  if (thread == 0) p.scales[blockIdx.x] = __fdiv_rn(amax, kFillLargest);
}

dim3 fill_grid(std::int64_t threads) {
  constexpr std::int64_t kMostBlocks = 4096;  // the rest in strides
  const std::int64_t blocks = (threads + kFillThreads - 1) / kFillThreads;
  return {static_cast<unsigned>(std::clamp<std::int64_t>(blocks, 1, kMostBlocks))};
}

template <class T>
void fill(T* values, std::int64_t size, float spread, InputStream from, Stream stream) {
  launch("fill_normal",
         stream,
         fill_kernel<T>,
         fill_grid(size),
         kFillThreads,
         0,
         values,
         size,
         spread,
         normal_hash(from));
}

}  // namespace

void fill_normal(float* values, std::int64_t size, InputStream from, Stream stream) {
  fill(values, size, 1, from, stream);
}
void fill_normal(Bf16* values, std::int64_t size, InputStream from, Stream stream) {
  fill(values, size, 1, from, stream);
}
void fill_squares(Bf16* values, std::int64_t size, InputStream from, Stream stream) {
  launch("fill_squares",
         stream,
         fill_squares_kernel,
         fill_grid(size),
         kFillThreads,
         0,
         values,
         size,
         normal_hash(from));
}
void fill_codes(E4m3* codes, std::int64_t size, float spread, InputStream from, Stream stream) {
  fill(codes, size, spread, from, stream);
}

void fill_scaled_rows(const FillScaledRows& p, Stream stream) {
  const std::int64_t blocks = (p.columns + kFillScaleBlock - 1) / kFillScaleBlock;
  launch("fill_scaled_rows",
         stream,
         fill_rows_kernel,
         fill_grid(p.rows * blocks * 32),
         kFillThreads,
         0,
         p,
         normal_hash(p.from));
}

void fill_scaled_blocks(const FillScaledBlocks& p, Stream stream) {
  const std::int64_t across = (p.columns + kFillScaleBlock - 1) / kFillScaleBlock,
                     down = (p.rows + kFillScaleBlock - 1) / kFillScaleBlock;
  launch("fill_scaled_blocks",
         stream,
         fill_blocks_kernel,
         static_cast<unsigned>(across * down),
         kFillThreads,
         0,
         p,
         normal_hash(p.from));
}

}  // namespace moesim
