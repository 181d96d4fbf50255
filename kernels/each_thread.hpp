// A kernel that does one thing for every number from 0 to a count, a thread each: what naive
// kernels are written with. `Work` is a struct whose call operator has that number.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"

namespace moesim {

template <class Work>
__global__ void each_kernel(const Work work, std::int64_t count) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) work(i);
}

template <class Work>
void launch_each(const char* name, Stream stream, std::int64_t count, const Work& work) {
  constexpr std::int64_t kThreads = 128;
  if (count > 0)
    launch(name,
           stream,
           each_kernel<Work>,
           dim3(static_cast<unsigned>((count + kThreads - 1) / kThreads)),
           dim3(static_cast<unsigned>(kThreads)),
           0,
           work,
           count);
}

}  // namespace moesim
