// The functions of the CUDA runtime and driver that are called, as their documentation declares
// them (CUDA Runtime API, CUDA Driver API), to be found in libraries that may not be there. A test
// brings its own functions.
#pragma once

#include <cstddef>
#include <string>

namespace moesim::comm {

using CudaStream = struct CUstream_st*;
using CudaEvent = struct CUevent_st*;

// Results: 0 is success, for both; "not ready" is the runtime's answer to a query.
inline constexpr int kCudaNotReady = 600;  // cudaErrorNotReady
inline constexpr int kCudaHostToDevice = 1, kCudaDeviceToHost = 2, kCudaDeviceToDevice = 3;
inline constexpr unsigned kCudaNonBlocking = 1;  // cudaStreamNonBlocking

struct CudaApi {
  int (*get_device_count)(int* count) = nullptr;
  int (*set_device)(int device) = nullptr;
  int (*allocate)(void** memory, std::size_t bytes) = nullptr;  // cudaMalloc
  int (*free)(void* memory) = nullptr;
  int (*copy)(void* to, const void* from, std::size_t bytes, int kind) = nullptr;  // cudaMemcpy
  int (*copy_async)(void* to, const void* from, std::size_t bytes, int kind, CudaStream) = nullptr;
  int (*create_stream)(CudaStream*, unsigned flags) = nullptr;  // cudaStreamCreateWithFlags
  int (*destroy_stream)(CudaStream) = nullptr;
  int (*query_stream)(CudaStream) = nullptr;
  int (*stream_wait_event)(CudaStream, CudaEvent, unsigned flags) = nullptr;
  int (*create_event)(CudaEvent*) = nullptr;
  int (*destroy_event)(CudaEvent) = nullptr;
  int (*record_event)(CudaEvent, CudaStream) = nullptr;
  int (*elapsed_ms)(float* ms, CudaEvent first, CudaEvent second) = nullptr;
  int (*pci_bus_id)(char* text, int size, int device) = nullptr;
  int (*runtime_version)(int* version) = nullptr;
  int (*driver_version)(int* version) = nullptr;
  const char* (*error_text)(int error) = nullptr;
  // Of the driver, whose answer, unlike the runtime's struct, is the same in all versions.
  int (*device_name)(char* text, int size, int device) = nullptr;
};

// library: a path, or empty for the usual names.
CudaApi load_cuda(const std::string& library);

// std::runtime_error with CUDA's own text.
void check_cuda(const CudaApi& cuda, int result, const char* call);

}  // namespace moesim::comm
