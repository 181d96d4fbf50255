#include "calibrate/comm/cuda_api.hpp"

#include <stdexcept>

#include "calibrate/comm/shared_library.hpp"

namespace moesim::comm {

CudaApi load_cuda(const std::string& library) {
  const std::vector<std::string> names = library.empty()
                                             ? std::vector<std::string>{"libcudart.so.13",
                                                                        "libcudart.so.12",
                                                                        "libcudart.so.11.0",
                                                                        "libcudart.so"}
                                             : std::vector{library};
  const SharedLibrary runtime("the CUDA runtime", names);
  const SharedLibrary driver("the NVIDIA driver's library", {"libcuda.so.1"});
  CudaApi api;
  runtime.find(api.get_device_count, "cudaGetDeviceCount");
  runtime.find(api.set_device, "cudaSetDevice");
  runtime.find(api.allocate, "cudaMalloc");
  runtime.find(api.free, "cudaFree");
  runtime.find(api.copy, "cudaMemcpy");
  runtime.find(api.copy_async, "cudaMemcpyAsync");
  runtime.find(api.create_stream, "cudaStreamCreateWithFlags");
  runtime.find(api.destroy_stream, "cudaStreamDestroy");
  runtime.find(api.query_stream, "cudaStreamQuery");
  runtime.find(api.stream_wait_event, "cudaStreamWaitEvent");
  runtime.find(api.create_event, "cudaEventCreate");
  runtime.find(api.destroy_event, "cudaEventDestroy");
  runtime.find(api.record_event, "cudaEventRecord");
  runtime.find(api.elapsed_ms, "cudaEventElapsedTime");
  runtime.find(api.pci_bus_id, "cudaDeviceGetPCIBusId");
  runtime.find(api.runtime_version, "cudaRuntimeGetVersion");
  runtime.find(api.driver_version, "cudaDriverGetVersion");
  runtime.find(api.error_text, "cudaGetErrorString");
  driver.find(api.device_name, "cuDeviceGetName");
  return api;
}

void check_cuda(const CudaApi& cuda, int result, const char* call) {
  if (result != 0)
    throw std::runtime_error(std::string(call) + ": CUDA error " + std::to_string(result) + ": " +
                             cuda.error_text(result));
}

}  // namespace moesim::comm
