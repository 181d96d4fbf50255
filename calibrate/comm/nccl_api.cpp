#include "calibrate/comm/nccl_api.hpp"

#include <stdexcept>

#include "calibrate/comm/shared_library.hpp"

namespace moesim::comm {

NcclApi load_nccl(const std::string& library) {
  const SharedLibrary nccl("NCCL", {library.empty() ? "libnccl.so.2" : library});
  NcclApi api;
  nccl.find(api.get_version, "ncclGetVersion");
  int version = 0;
  if (api.get_version(&version) != 0 || version < kOldestNccl)
    throw std::runtime_error("NCCL (" + nccl.name() + ") is version " + nccl_version_text(version) +
                             "; 2.18 or newer is needed");
  nccl.find(api.get_unique_id, "ncclGetUniqueId");
  nccl.find(api.init_rank_config, "ncclCommInitRankConfig");
  nccl.find(api.destroy, "ncclCommDestroy");
  nccl.find(api.abort, "ncclCommAbort");
  nccl.find(api.async_error, "ncclCommGetAsyncError");
  nccl.find(api.error_text, "ncclGetErrorString");
  nccl.find(api.group_start, "ncclGroupStart");
  nccl.find(api.group_end, "ncclGroupEnd");
  nccl.find(api.send, "ncclSend");
  nccl.find(api.receive, "ncclRecv");
  nccl.find(api.all_reduce, "ncclAllReduce");
  nccl.find(api.reduce_scatter, "ncclReduceScatter");
  nccl.find(api.all_gather, "ncclAllGather");
  nccl.find(api.broadcast, "ncclBroadcast");
  return api;
}

// NCCL's rule since 2.9: major x 10000 + minor x 100 + patch.
std::string nccl_version_text(int version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

void check_nccl(const NcclApi& nccl, int result, const char* call) {
  if (result != 0)
    throw std::runtime_error(std::string(call) + ": NCCL error " + std::to_string(result) + ": " +
                             nccl.error_text(result));
}

}  // namespace moesim::comm
