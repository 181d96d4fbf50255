#include "calibrate/cuda/gpu_memory.hpp"

#include <cstdlib>
#include <new>

namespace moesim {

#if defined(MOE_EMULATION)

void* gpu_allocate(std::size_t bytes) {
  constexpr std::size_t kAlignment = 256;  // cudaMalloc's
  void* const memory =
      std::aligned_alloc(kAlignment, (bytes + kAlignment) / kAlignment * kAlignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void gpu_free(void* memory) noexcept { std::free(memory); }
void gpu_upload(void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
void gpu_download(void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
void gpu_set_bytes(void* memory, int byte, std::size_t bytes, Stream /*stream*/) {
  std::memset(memory, byte, bytes);
}
void gpu_copy_rows(MemoryRows to,
                   ConstMemoryRows from,
                   std::size_t row_bytes,
                   std::size_t rows,
                   Stream /*stream*/) {
  for (std::size_t row = 0; row < rows; ++row)
    std::memcpy(static_cast<std::byte*>(to.memory) + row * to.pitch,
                static_cast<const std::byte*>(from.memory) + row * from.pitch,
                row_bytes);
}

#else

void* gpu_allocate(std::size_t bytes) {
  void* memory = nullptr;
  check_cuda(cudaMalloc(&memory, bytes > 0 ? bytes : 1), "memory of the GPU");
  return memory;
}
void gpu_free(void* memory) noexcept { cudaFree(memory); }
void gpu_upload(void* to, const void* from, std::size_t bytes) {
  check_cuda(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), "copy to the GPU");
}
void gpu_download(void* to, const void* from, std::size_t bytes) {
  check_cuda(cudaDeviceSynchronize(), "kernel");
  check_cuda(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "copy from the GPU");
}
void gpu_set_bytes(void* memory, int byte, std::size_t bytes, Stream stream) {
  check_cuda(cudaMemsetAsync(memory, byte, bytes, stream), "fill of the GPU's memory");
}
void gpu_copy_rows(
    MemoryRows to, ConstMemoryRows from, std::size_t row_bytes, std::size_t rows, Stream stream) {
  check_cuda(cudaMemcpy2DAsync(to.memory,
                               to.pitch,
                               from.memory,
                               from.pitch,
                               row_bytes,
                               rows,
                               cudaMemcpyDeviceToDevice,
                               stream),
             "copy on the GPU");
}

#endif

}  // namespace moesim
