// What every kernel is written against: CUDA as nvcc compiles it, or, where the same source is
// compiled by a C++ compiler with MOE_EMULATION, an emulation of a GPU on the CPU
// (kernels/emulation/emulation.hpp), which is how kernels are tested where there is no GPU.
//
// A kernel therefore uses no launch brackets but launch(), no `extern __shared__` but
// dynamic_shared(), no inline PTX but the functions of kernels/ptx.hpp, and no CUDA number types but
// those of kernels/number_formats.hpp.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(MOE_EMULATION)
#include "kernels/emulation/emulation.hpp"
#else
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>
#endif

namespace moesim {

using Stream = cudaStream_t;

#if !defined(MOE_EMULATION)

// Throws std::runtime_error with CUDA's own words.
inline void check_cuda(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

template <class... Parameters, class... Arguments>
void launch(const char* name,
            Stream stream,
            void (*kernel)(Parameters...),
            dim3 grid,
            dim3 block,
            std::size_t shared_bytes,
            Arguments... arguments) {
  if (shared_bytes > 48 * 1024)
    check_cuda(cudaFuncSetAttribute(kernel,
                                    cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes)),
               name);
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  check_cuda(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...), name);
}

// The block's dynamic shared memory, aligned to 1024 bytes: what a tile swizzled over 128 bytes
// needs.
__device__ inline std::byte* dynamic_shared() {
  extern __shared__ __align__(1024) std::byte moesim_dynamic_shared[];
  return moesim_dynamic_shared;
}

#endif

}  // namespace moesim
