// SMs kept away from what is measured for as long as the object lives.
#pragma once

#include <cstdint>
#include <optional>

#include "calibrate/cuda/gpu_memory.hpp"
#include "calibrate/cuda/stream_graph.hpp"

namespace moesim {

// Made once a call, started around each timing: nothing may be allocated, and no module loaded,
// while SMs are held, for both wait until the GPU is idle.
class SmHolder {
 public:
  SmHolder(std::int64_t sms, bool copies);
  ~SmHolder();
  SmHolder(const SmHolder&) = delete;
  SmHolder& operator=(const SmHolder&) = delete;

  void start();  // returns once every SM is held; std::runtime_error after 2 s
  void stop() noexcept;

 private:
  std::int64_t sms_;
  CudaStreamOwner stream_;
  std::int32_t* shared_ = nullptr;  // of host and GPU: stop, then one for each SM
  std::optional<GpuBuffer> copied_;
  bool started_ = false;
};

}  // namespace moesim
