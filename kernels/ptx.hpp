// The PTX instructions of Hopper that CUDA C++ has no words for, as functions; on the emulated GPU
// (MOE_EMULATION) the same functions do what the PTX ISA says. All are of one thread unless said
// otherwise. Tensor cores: kernels/wgmma.hpp.
//
// Barriers (mbarrier) are 64-bit words of the block's dynamic shared memory. A phase ends when all
// its arrivals have come and all bytes it expects are there; phases are numbered from 0 and waited
// for by parity, so waiting for parity 1 on a new barrier returns at once.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/tensor_map.hpp"

namespace moesim {

#if defined(MOE_EMULATION)

inline std::uint32_t shared_address(const void* at) { return emulation::shared_address(at); }
inline void barrier_init(std::uint64_t* barrier, unsigned arrivals) {
  emulation::mbarrier_init(barrier, arrivals);
}
inline void fence_barrier_init() {}
inline void barrier_arrive(std::uint64_t* barrier) { emulation::mbarrier_arrive(barrier, 0); }
inline void barrier_arrive_expecting(std::uint64_t* barrier, unsigned bytes) {
  emulation::mbarrier_arrive(barrier, bytes);
}
inline void barrier_wait(std::uint64_t* barrier, unsigned parity) {
  emulation::mbarrier_wait(barrier, parity);
}
template <class... Coordinates>
void tensor_load(const TensorMap& map, void* to, std::uint64_t* barrier, Coordinates... corner) {
  const std::int32_t at[] = {corner...};
  emulation::tensor_load(map, to, barrier, at);
}
inline void prefetch_tensor_map(const TensorMap&) {}
inline void fence_proxy_async() {}
inline void named_barrier_sync(int id, int threads) { emulation::barrier(id, threads); }
template <int kRegisters>
void take_registers() {}
template <int kRegisters>
void give_registers() {}
inline std::uint32_t pack_bf16(float low, float high) {
  return to_bf16(low).bits | static_cast<std::uint32_t>(to_bf16(high).bits) << 16;
}
inline void store_16_bytes(void* to, const std::uint32_t (&words)[4]) {
  memcpy(to, words, sizeof words);
}

#else

__device__ __forceinline__ std::uint32_t shared_address(const void* at) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(at));
}

__device__ __forceinline__ void barrier_init(std::uint64_t* barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals)
               : "memory");
}

// After barrier_init, before the block's other threads or a copy use the barrier.
__device__ __forceinline__ void fence_barrier_init() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ __forceinline__ void barrier_arrive(std::uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
}

// The phase waits for `bytes` more, and one thread has arrived.
__device__ __forceinline__ void barrier_arrive_expecting(std::uint64_t* barrier, unsigned bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}

// Returns once the phase of this parity is over.
__device__ __forceinline__ void barrier_wait(std::uint64_t* barrier, unsigned parity) {
  const std::uint32_t at = shared_address(barrier);
  std::uint32_t over = 0;
  while (over == 0)
    asm volatile(
        "{\n.reg .pred over;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
        "selp.u32 %0, 1, 0, over;\n}"
        : "=r"(over)
        : "r"(at), "r"(parity)
        : "memory");
}

// Starts to copy the box at the given corner, innermost coordinate first, and counts its bytes off
// at the barrier. `to` is aligned to 128 bytes; swizzled boxes to 1024.
__device__ __forceinline__ void tensor_load(
    const TensorMap& map, void* to, std::uint64_t* barrier, std::int32_t x, std::int32_t y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4}], [%2];" ::"r"(shared_address(to)),
      "l"(&map),
      "r"(shared_address(barrier)),
      "r"(x),
      "r"(y)
      : "memory");
}
__device__ __forceinline__ void tensor_load(const TensorMap& map,
                                            void* to,
                                            std::uint64_t* barrier,
                                            std::int32_t x,
                                            std::int32_t y,
                                            std::int32_t z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(shared_address(to)),
      "l"(&map),
      "r"(shared_address(barrier)),
      "r"(x),
      "r"(y),
      "r"(z)
      : "memory");
}

__device__ __forceinline__ void prefetch_tensor_map(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// What was written to shared memory before it, wgmma and tensor copies see after it.
__device__ __forceinline__ void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Barrier `id` (1 ... 15; 0 is __syncthreads()) of `threads` threads, whole warps.
__device__ __forceinline__ void named_barrier_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// All warps of a warpgroup: how many registers a thread has from here on, a multiple of 8. The
// block has what it was launched with: taking waits until others have given.
template <int kRegisters>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// Both to the nearest BF16, the first in the low half.
__device__ __forceinline__ std::uint32_t pack_bf16(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// To global memory, in one access. nvcc cuts some of those it is left to itself into words.
__device__ __forceinline__ void store_16_bytes(void* to, const std::uint32_t (&words)[4]) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)),
               "r"(words[0]),
               "r"(words[1]),
               "r"(words[2]),
               "r"(words[3])
               : "memory");
}

// 2^x to about 2 units in the last place.
__device__ __forceinline__ float exp2f_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

#endif

}  // namespace moesim
