#include "calibrate/cuda/routes.hpp"

#include <span>

#if !defined(MOE_EMULATION)
#include "calibrate/cuda/library_cublaslt.hpp"
#include "calibrate/cuda/library_cudnn.hpp"
#endif

namespace moesim {
namespace {

bool always(const Call& /*call*/) { return true; }

// Kernels that have no argument for it are kept off SMs by a kernel that holds them
// (kernels/hold_sms.hpp).
constexpr GpuRoute kRoutes[] = {
    {"gemm_fp8", "gemm_fp8", can_run_gemm_fp8, prepare_gemm_fp8},
    {"grouped_gemm_fp8", "grouped_gemm_fp8", can_run_gemm_fp8, prepare_grouped_gemm_fp8},
    {"gemm_fp8_wgrad", "gemm_fp8_wgrad", can_run_gemm_fp8_wgrad, prepare_gemm_fp8_wgrad},
#if !defined(MOE_EMULATION)
    {"gemm_bf16", "cuBLASLt", can_run_gemm_bf16, prepare_gemm_bf16},
    {"attention_backward",
     "cuDNN",
     can_run_attention_backward,
     prepare_attention_backward,
     attention_backward_problem},
#endif
    {"attention_forward", "mla_prefill", can_run_attention, prepare_attention_forward},
    {"attention_decode", "mla_decode", always, prepare_attention_decode},
    {"cast", "cast_rows", always, prepare_cast},
    {"cast_transpose", "cast_transpose", always, prepare_cast_transpose},
    {"weight_transpose", "weight_transpose", always, prepare_weight_transpose},
    {"swiglu", "swiglu_cast", always, prepare_swiglu},
    {"elementwise", "add_tensors", always, prepare_elementwise},
    {"rmsnorm", "rmsnorm", always, prepare_rmsnorm},
    {"rope", "rope", always, prepare_rope},
    {"permute", "permute", always, prepare_permute},
    {"unpermute", "unpermute", always, prepare_unpermute},
};

#if !defined(MOE_EMULATION)
constexpr GpuRoute kLibraryRoutes[] = {
    {"gemm_fp8", "cuBLASLt", can_run_library_gemm_fp8, prepare_library_gemm_fp8},
    {"gemm_bf16", "cuBLASLt", can_run_gemm_bf16, prepare_gemm_bf16},
    {"attention_backward",
     "cuDNN",
     can_run_attention_backward,
     prepare_attention_backward,
     attention_backward_problem},
};
#endif

}  // namespace

std::span<const GpuRoute> gpu_routes(Routes routes) {
#if !defined(MOE_EMULATION)
  if (routes == Routes::library) return kLibraryRoutes;
#else
  if (routes == Routes::library) return {};
#endif
  return kRoutes;
}

}  // namespace moesim
