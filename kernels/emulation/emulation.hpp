// A GPU on one CPU thread, enough to run the kernels of this folder as they are written: blocks one
// after the other, the threads of a block as fibers that change over only where they wait for each
// other. It proves indices, barriers, phases and arithmetic, not speed and not what a GPU does
// about a race; a block whose threads all wait for what never comes is an error that says so, not a
// hang.
//
// Left out: clusters and anything between blocks but atomics (blocks see all of the earlier ones'
// writes and none of the later ones').
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static  // one block at a time
#define __launch_bounds__(...)
#define __restrict__
#define __grid_constant__
#define __align__(n) alignas(n)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x, y, z;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

using cudaStream_t = void*;

namespace moesim::emulation {

// Of the running thread.
extern dim3 grid_dim, block_dim;
extern uint3 block_index, thread_index;
int thread_rank();  // in its block

// Runs the block's other threads until `ready` holds. Throws std::runtime_error, in launch(), when
// no thread of the block can go on; `what` is named there.
void wait_until(const std::function<bool()>& ready, const char* what);
// Lets the block's other threads run as far as they can before the running one goes on.
void give_way();
// Something that another thread may wait for has changed.
void made_progress();

// Barrier `id` of the block, for `threads` of them.
void barrier(int id, int threads);

// All lanes of `mask` hand in `bytes` bytes and see what each handed in: [32][bytes].
const std::byte* exchange(unsigned mask, const void* value, std::size_t bytes);

std::byte* shared_memory();

// Another number for every block that was ever run: whose it is, what is kept about a block.
std::uint64_t block_serial();

void run_grid(const char* name,
              dim3 grid,
              dim3 block,
              std::size_t shared_bytes,
              const std::function<void()>& thread);

template <class T>
T exchange_from(unsigned mask, T value, int lane) {
  T from;
  std::memcpy(
      &from, exchange(mask, &value, sizeof value) + sizeof value * (lane & 31), sizeof from);
  return from;
}

}  // namespace moesim::emulation

#define threadIdx (::moesim::emulation::thread_index)
#define blockIdx (::moesim::emulation::block_index)
#define blockDim (::moesim::emulation::block_dim)
#define gridDim (::moesim::emulation::grid_dim)

inline void __syncthreads() {
  const auto& b = ::moesim::emulation::block_dim;
  ::moesim::emulation::barrier(0, static_cast<int>(b.x * b.y * b.z));
}
inline void __syncwarp(unsigned mask = ~0u) {
  const char nothing = 0;
  ::moesim::emulation::exchange(mask, &nothing, 1);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  const int own = ::moesim::emulation::thread_rank() % 32;
  return ::moesim::emulation::exchange_from(mask, value, own / width * width + lane % width);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int other, int = 32) {
  return ::moesim::emulation::exchange_from(
      mask, value, ::moesim::emulation::thread_rank() % 32 ^ other);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int by, int width = 32) {
  const int own = ::moesim::emulation::thread_rank() % 32;
  return ::moesim::emulation::exchange_from(mask, value, own % width + by < width ? own + by : own);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int by, int width = 32) {
  const int own = ::moesim::emulation::thread_rank() % 32;
  return ::moesim::emulation::exchange_from(mask, value, own % width >= by ? own - by : own);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const char mine = predicate != 0 ? 1 : 0;
  const std::byte* all = ::moesim::emulation::exchange(mask, &mine, 1);
  unsigned ballot = 0;
  for (unsigned lane = 0; lane < 32; ++lane)
    if ((mask >> lane & 1u) != 0 && all[lane] != std::byte{0}) ballot |= 1u << lane;
  return ballot;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline unsigned __match_any_sync(unsigned mask, int value) {
  const std::byte* all = ::moesim::emulation::exchange(mask, &value, sizeof value);
  unsigned equal = 0;
  for (unsigned lane = 0; lane < 32; ++lane)
    if ((mask >> lane & 1u) != 0 &&
        std::memcmp(all + lane * sizeof value, &value, sizeof value) == 0)
      equal |= 1u << lane;
  return equal;
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value) {
  const std::byte* all = ::moesim::emulation::exchange(mask, &value, sizeof value);
  unsigned largest = value;
  for (unsigned lane = 0; lane < 32; ++lane) {
    unsigned other;
    std::memcpy(&other, all + lane * sizeof other, sizeof other);
    if ((mask >> lane & 1u) != 0 && other > largest) largest = other;
  }
  return largest;
}
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const std::uint64_t bytes = static_cast<std::uint64_t>(b) << 32 | a;
  unsigned picked = 0;
  for (unsigned i = 0; i < 4; ++i)
    picked |= static_cast<unsigned>(bytes >> ((selector >> (4 * i) & 7u) * 8) & 0xffu) << (8 * i);
  return picked;
}
inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __ffs(int value) { return __builtin_ffs(value); }
inline int __clz(int value) {
  return value == 0 ? 32 : __builtin_clz(static_cast<unsigned>(value));
}
template <class T>
T atomicAdd(T* at, T value) {
  const T before = *at;
  *at += value;
  ::moesim::emulation::made_progress();
  return before;
}
template <class T>
T atomicMax(T* at, T value) {
  const T before = *at;
  if (value > before) *at = value;
  return before;
}
template <class T>
T __ldg(const T* at) {
  return *at;
}
inline void __threadfence() {}
inline float __expf(float x) { return std::exp(x); }
inline float exp2f_approx(float x) { return std::exp2(x); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }

namespace moesim {

inline std::byte* dynamic_shared() { return emulation::shared_memory(); }

template <class... Parameters, class... Arguments>
void launch(const char* name,
            cudaStream_t /*stream*/,
            void (*kernel)(Parameters...),
            dim3 grid,
            dim3 block,
            std::size_t shared_bytes,
            Arguments... arguments) {
  std::tuple<Parameters...> all(static_cast<Parameters>(arguments)...);
  emulation::run_grid(name, grid, block, shared_bytes, [&] { std::apply(kernel, all); });
}

}  // namespace moesim
