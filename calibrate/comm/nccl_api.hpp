// The functions of NCCL that are called, as its user guide declares them ("NCCL API"), to be found
// in a library that may not be there. A test brings its own functions.
#pragma once

#include <climits>
#include <cstddef>
#include <string>

#include "calibrate/comm/cuda_api.hpp"

namespace moesim::comm {

using NcclComm = struct ncclComm*;
struct NcclUniqueId {
  char internal[128];
};

inline constexpr int kNcclInt32 = 2, kNcclUint64 = 5;  // ncclDataType_t
inline constexpr int kNcclSum = 0;                     // ncclRedOp_t
inline constexpr int kNcclInProgress = 7;              // ncclResult_t; 0 is success

// ncclConfig_t as of 2.18. Newer libraries take it, by its size and version, and use their defaults
// for what it lacks.
struct NcclConfig {
  std::size_t size = sizeof(NcclConfig);
  unsigned magic = 0xcafebeef;
  unsigned version = 21800;
  int blocking = INT_MIN;  // INT_MIN: NCCL's default
  int cga_cluster_size = INT_MIN;
  int min_ctas = INT_MIN;
  int max_ctas = INT_MIN;
  const char* net_name = nullptr;
  int split_share = INT_MIN;
};
inline constexpr int kOldestNccl = 21800;

struct NcclApi {
  int (*get_version)(int* version) = nullptr;
  int (*get_unique_id)(NcclUniqueId*) = nullptr;
  int (*init_rank_config)(NcclComm*, int size, NcclUniqueId, int rank, NcclConfig*) = nullptr;
  int (*destroy)(NcclComm) = nullptr;
  int (*abort)(NcclComm) = nullptr;
  int (*async_error)(NcclComm, int* error) = nullptr;
  const char* (*error_text)(int) = nullptr;
  int (*group_start)() = nullptr;
  int (*group_end)() = nullptr;
  int (*send)(const void*, std::size_t count, int type, int peer, NcclComm, CudaStream) = nullptr;
  int (*receive)(void*, std::size_t count, int type, int peer, NcclComm, CudaStream) = nullptr;
  int (*all_reduce)(const void*, void*, std::size_t, int type, int op, NcclComm, CudaStream) =
      nullptr;
  int (*reduce_scatter)(const void*, void*, std::size_t, int type, int op, NcclComm, CudaStream) =
      nullptr;
  int (*all_gather)(const void*, void*, std::size_t, int type, NcclComm, CudaStream) = nullptr;
  int (*broadcast)(const void*, void*, std::size_t, int type, int root, NcclComm, CudaStream) =
      nullptr;
};

// library: a path, or empty for libnccl.so.2. std::runtime_error for one older than 2.18.
NcclApi load_nccl(const std::string& library);

std::string nccl_version_text(int version);  // "2.28.9"

// std::runtime_error with NCCL's own text.
void check_nccl(const NcclApi& nccl, int result, const char* call);

}  // namespace moesim::comm
