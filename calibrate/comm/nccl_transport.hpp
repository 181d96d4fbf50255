// GPUs and NCCL behind Transport: one rank is one GPU, streams are CUDA streams, moments are CUDA
// events. Exchanges are groups of ncclSend and ncclRecv. Every group is a communicator of its own,
// made from a unique id that its first rank sends around by the bootstrap.
//
// A stream that does not finish in time, or a communicator that reports an error, is aborted, so
// that a rank which is gone does not keep the others waiting for ever. Only making a communicator
// waits as long as NCCL itself does.
//
// Left out: memory registered with NCCL (ncclMemAlloc, windows), CUDA graphs, communicators that
// share resources (ncclCommSplit), kernels of our own: compute is copies within the GPU's memory,
// which the GPU may give to its SMs or to a copy engine.
#pragma once

#include <memory>

#include "calibrate/comm/bootstrap.hpp"
#include "calibrate/comm/nccl_api.hpp"
#include "calibrate/comm/rank_map.hpp"
#include "calibrate/comm/transport.hpp"

namespace moesim::comm {

struct GpuLibraries {
  CudaApi cuda;
  NcclApi nccl;
};

// The GPU of a rank. local_rank counts on its host; where only one GPU is visible, that one is it.
// std::runtime_error where there is none.
int device_of(const CudaApi& cuda, int local_rank);
RankPlace place_of(const CudaApi& cuda, int device, const std::string& host);

// map: places of the ranks of `bootstrap`, which has to outlive it.
std::unique_ptr<Transport> nccl_transport(const GpuLibraries& libraries,
                                          int device,
                                          Bootstrap& bootstrap,
                                          const RankMap& map,
                                          Timeout timeout);

}  // namespace moesim::comm
