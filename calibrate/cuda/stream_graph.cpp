#include "calibrate/cuda/stream_graph.hpp"

namespace moesim {

CudaStreamOwner::CudaStreamOwner() {
  check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream");
}
CudaStreamOwner::~CudaStreamOwner() { cudaStreamDestroy(stream_); }

CudaStopwatch::CudaStopwatch(Stream stream) : stream_(stream) {
  check_cuda(cudaEventCreate(&first_), "event");
  check_cuda(cudaEventCreate(&last_), "event");
}
CudaStopwatch::~CudaStopwatch() {
  cudaEventDestroy(first_);
  cudaEventDestroy(last_);
}

Seconds CudaStopwatch::time(const std::function<void()>& work) {
  check_cuda(cudaEventRecord(first_, stream_), "event");
  work();
  check_cuda(cudaEventRecord(last_, stream_), "event");
  check_cuda(cudaEventSynchronize(last_), "timed kernels");
  float elapsed_ms = 0;
  check_cuda(cudaEventElapsedTime(&elapsed_ms, first_, last_), "elapsed time");
  return static_cast<double>(elapsed_ms) * ms;
}

CapturedGraph::CapturedGraph(Stream stream, const std::function<void()>& work) : stream_(stream) {
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "graph");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(stream, &graph);  // else the stream stays in capture for good
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  check_cuda(cudaStreamEndCapture(stream, &graph), "graph");
  const cudaError_t error = cudaGraphInstantiate(&graph_, graph, 0);
  cudaGraphDestroy(graph);
  check_cuda(error, "graph");
}
CapturedGraph::~CapturedGraph() {
  if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
}

void CapturedGraph::launch() { check_cuda(cudaGraphLaunch(graph_, stream_), "graph"); }

}  // namespace moesim
