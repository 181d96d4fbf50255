// Memory of the GPU, typed and owned. With MOE_EMULATION it is the CPU's, and the operations of
// this folder run on the emulated GPU (kernels/emulation), which is how they are tested without
// one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/cuda.hpp"

namespace moesim {

// Errors are std::runtime_error with CUDA's own words.
void* gpu_allocate(std::size_t bytes);
void gpu_free(void* memory) noexcept;
void gpu_upload(void* to, const void* from, std::size_t bytes);
void gpu_download(void* to, const void* from, std::size_t bytes);  // waits for all kernels
void gpu_set_bytes(void* memory, int byte, std::size_t bytes, Stream stream);
// Rows that begin `pitch` bytes apart.
struct MemoryRows {
  void* memory;
  std::size_t pitch;
};
struct ConstMemoryRows {
  const void* memory;
  std::size_t pitch;
};
void gpu_copy_rows(
    MemoryRows to, ConstMemoryRows from, std::size_t row_bytes, std::size_t rows, Stream stream);

class GpuBuffer {
 public:
  GpuBuffer() = default;
  explicit GpuBuffer(std::size_t bytes) : memory_(gpu_allocate(bytes)), bytes_(bytes) {}
  GpuBuffer(GpuBuffer&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  GpuBuffer& operator=(GpuBuffer&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~GpuBuffer() { gpu_free(memory_); }

  template <class T>
  T* as() const {
    return static_cast<T*>(memory_);
  }
  std::size_t bytes() const { return bytes_; }

 private:
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace moesim
