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
    {"gemm_fp8", "gemm_fp8", can_run_gemm_fp8, prepare_gemm_fp8, nullptr, "gemm_fp8_naive"},
    {"grouped_gemm_fp8",
     "grouped_gemm_fp8",
     can_run_gemm_fp8,
     prepare_grouped_gemm_fp8,
     nullptr,
     "grouped_gemm_fp8_naive"},
    {"gemm_fp8_wgrad",
     "gemm_fp8_wgrad",
     can_run_gemm_fp8_wgrad,
     prepare_gemm_fp8_wgrad,
     nullptr,
     "gemm_fp8_wgrad_naive"},
#if !defined(MOE_EMULATION)
    {"gemm_bf16", "cuBLASLt", can_run_gemm_bf16, prepare_gemm_bf16},
    {"attention_backward",
     "cuDNN",
     can_run_attention_backward,
     prepare_attention_backward,
     attention_backward_problem},
#endif
    {"attention_forward",
     "mla_prefill",
     can_run_attention,
     prepare_attention_forward,
     nullptr,
     "mla_prefill_naive"},
    {"attention_decode",
     "mla_decode",
     always,
     prepare_attention_decode,
     nullptr,
     "mla_decode_naive"},
    {"cast", "cast_rows", always, prepare_cast, nullptr, "cast_rows_naive"},
    {"cast_back", "cast_back", always, prepare_cast_back, nullptr, "cast_back_naive"},
    {"cast_transpose",
     "cast_transpose",
     always,
     prepare_cast_transpose,
     nullptr,
     "cast_transpose_naive"},
    {"recast_transpose",
     "recast_transpose",
     always,
     prepare_recast_transpose,
     nullptr,
     "recast_transpose_naive"},
    {"weight_transpose",
     "weight_transpose",
     always,
     prepare_weight_transpose,
     nullptr,
     "weight_transpose_naive"},
    {"swiglu", "swiglu_cast", always, prepare_swiglu, nullptr, "swiglu_cast_naive"},
    {"swiglu_backward",
     "swiglu_backward",
     always,
     prepare_swiglu_backward,
     nullptr,
     "swiglu_backward_naive"},
    {"elementwise", "add_tensors", always, prepare_elementwise, nullptr, "add_tensors_naive"},
    {"rmsnorm", "rmsnorm", always, prepare_rmsnorm, nullptr, "rmsnorm_naive"},
    {"rmsnorm_backward",
     "rmsnorm_backward",
     always,
     prepare_rmsnorm_backward,
     nullptr,
     "rmsnorm_backward_naive"},
    {"rope", "rope", always, prepare_rope, nullptr, "rope_naive"},
    {"copy", "copy_pieces", always, prepare_copy, nullptr, "copy_pieces_naive"},
    {"broadcast_copy", "copy_pieces", always, prepare_broadcast_copy, nullptr, "copy_pieces_naive"},
    {"permute", "permute", always, prepare_permute, nullptr, "permute_naive"},
    {"unpermute", "unpermute", always, prepare_unpermute, nullptr, "unpermute_naive"},
    {"gate_gather", "gate_top_k", always, prepare_gate, nullptr, "gate_top_k_naive"},
    {"expert_count", "expert_count", always, prepare_expert_count, nullptr, "expert_count_naive"},
    {"expert_map", "expert_place", always, prepare_expert_place, nullptr, "expert_place_naive"},
    {"adam", "adam_step", always, prepare_adam, nullptr, "adam_step_naive"},
};

#if !defined(MOE_EMULATION)
constexpr GpuRoute kLibraryRoutes[] = {
    {"gemm_fp8", "cuBLASLt", can_run_library_gemm_fp8, prepare_library_gemm_fp8},
    {"gemm_fp8_wgrad", "cuBLASLt", can_run_library_wgrad, prepare_library_wgrad},
    {"gemm_bf16", "cuBLASLt", can_run_gemm_bf16, prepare_gemm_bf16},
    {"attention_forward",
     "cuDNN",
     can_run_library_attention,
     prepare_library_attention,
     library_attention_problem},
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
