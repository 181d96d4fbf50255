// GEMMs by cuBLASLt, which is looked for when the program runs: BF16, and FP8 with 1x128 x 128x128
// scales, which is there to check our own kernel and to be compared with it.
//
// Left out: FP8 with 1x128 on both sides (the weight gradient's), whose rows would have to be a
// multiple of 4 where our case checks odd ones.
#pragma once

#include "calibrate/cuda/gpu_call.hpp"

namespace moesim {

bool can_run_gemm_bf16(const Call& call);  // false where the library is not there
void prepare_gemm_bf16(const Call& call, GpuCall& gpu);
bool can_run_library_gemm_fp8(const Call& call);
void prepare_library_gemm_fp8(const Call& call, GpuCall& gpu);
bool can_run_library_wgrad(const Call& call);
void prepare_library_wgrad(const Call& call, GpuCall& gpu);
// "13.1.0"; empty where it is not there.
std::string cublaslt_version();

}  // namespace moesim
