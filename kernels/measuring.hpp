// Kernels that measuring needs and nobody measures: one that empties the L2 cache, one that does
// nothing, and one that keeps others off some of the SMs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda.hpp"

namespace moesim {

// Writes all of it, which leaves nothing else in an L2 cache of up to half its size.
void flush_l2(void* memory, std::size_t bytes, Stream stream);  // bytes: a multiple of 16

void launch_nothing(Stream stream);

// A thread block on each of `sms` SMs that leaves no shared memory for any other, until the host
// says stop. Either it waits or, as a communication kernel does, it copies all the while.
struct HoldSms {
  volatile std::int32_t* stop = nullptr;  // written by the host; in memory that both see
  volatile std::int32_t* held = nullptr;  // [sms], likewise: 1 once a block is there
  std::int64_t sms = 0;
  const uint4* from = nullptr;  // [sms, piece]; nullptr: it waits
  uint4* to = nullptr;
  std::int64_t piece = 0;
};
void hold_sms(const HoldSms& p, Stream stream);

}  // namespace moesim
