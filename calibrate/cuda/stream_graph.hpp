// What is put into a stream, captured as a graph and timed as a whole.
#pragma once

#include <functional>

#include "kernels/cuda.hpp"
#include "model/units.hpp"

namespace moesim {

class CudaStreamOwner {
 public:
  CudaStreamOwner();
  ~CudaStreamOwner();
  CudaStreamOwner(const CudaStreamOwner&) = delete;
  CudaStreamOwner& operator=(const CudaStreamOwner&) = delete;
  Stream get() const { return stream_; }

 private:
  Stream stream_ = nullptr;
};

// Between two events of a stream.
class CudaStopwatch {
 public:
  explicit CudaStopwatch(Stream stream);
  ~CudaStopwatch();
  CudaStopwatch(const CudaStopwatch&) = delete;
  CudaStopwatch& operator=(const CudaStopwatch&) = delete;
  // Of all that `work` puts into the stream, which was empty before.
  Seconds time(const std::function<void()>& work);

 private:
  Stream stream_;
  cudaEvent_t first_ = nullptr, last_ = nullptr;
};

class CapturedGraph {
 public:
  // `work` is captured, not run.
  CapturedGraph(Stream stream, const std::function<void()>& work);
  ~CapturedGraph();
  CapturedGraph(const CapturedGraph&) = delete;
  CapturedGraph& operator=(const CapturedGraph&) = delete;
  void launch();

 private:
  Stream stream_;
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace moesim
