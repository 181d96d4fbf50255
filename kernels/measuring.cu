#include "kernels/measuring.hpp"

namespace moesim {
namespace {

constexpr int kFlushThreads = 256, kHoldThreads = 512;
constexpr int kFlushBlocks = 1056;               // 8 for each SM of an H100
constexpr std::size_t kWholeSm = 227 * 1024;     // the most a block may have (sm_90)

__global__ void flush_kernel(uint4* memory, std::int64_t size) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += step)
    memory[i] = {0, 0, 0, 0};
}

__global__ void nothing_kernel(int /*unused*/) {}

__global__ void hold_kernel(HoldSms p) {
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * p.piece;
  if (threadIdx.x == 0) p.held[blockIdx.x] = 1;
  while (*p.stop == 0) {
    if (p.from == nullptr) {
#if !defined(MOE_EMULATION)
      __nanosleep(1000);  // waiting must not take issue slots or power from what is measured
#endif
      continue;
    }
    for (std::int64_t i = threadIdx.x; i < p.piece; i += blockDim.x)
      p.to[first + i] = p.from[first + i];
  }
}

}  // namespace

void flush_l2(void* memory, std::size_t bytes, Stream stream) {
  launch("flush_l2",
         stream,
         flush_kernel,
         kFlushBlocks,
         kFlushThreads,
         0,
         static_cast<uint4*>(memory),
         static_cast<std::int64_t>(bytes / sizeof(uint4)));
}

void launch_nothing(Stream stream) { launch("nothing", stream, nothing_kernel, 1, 32, 0, 0); }

void hold_sms(const HoldSms& p, Stream stream) {
  launch("hold_sms", stream, hold_kernel, static_cast<unsigned>(p.sms), kHoldThreads, kWholeSm, p);
}

}  // namespace moesim
