// Which kernel runs which operation: one file a family, whose functions make the operands of a call
// and choose the launch. The table is in routes.cpp; an operation without a line cannot be
// measured.
#pragma once

#include "calibrate/cuda/gpu_call.hpp"

namespace moesim {

// run_gemm.cpp
void prepare_gemm_fp8(const Call& call, GpuCall& gpu);
void prepare_grouped_gemm_fp8(const Call& call, GpuCall& gpu);
void prepare_gemm_fp8_wgrad(const Call& call, GpuCall& gpu);
bool can_run_gemm_fp8(const Call& call);
bool can_run_gemm_fp8_wgrad(const Call& call);

// run_attention.cpp
void prepare_attention_forward(const Call& call, GpuCall& gpu);
void prepare_attention_decode(const Call& call, GpuCall& gpu);
bool can_run_attention(const Call& call);

// run_casts.cpp
void prepare_cast(const Call& call, GpuCall& gpu);
void prepare_cast_transpose(const Call& call, GpuCall& gpu);
void prepare_weight_transpose(const Call& call, GpuCall& gpu);
void prepare_cast_back(const Call& call, GpuCall& gpu);
void prepare_recast_transpose(const Call& call, GpuCall& gpu);
void prepare_swiglu(const Call& call, GpuCall& gpu);
void prepare_swiglu_backward(const Call& call, GpuCall& gpu);

// run_rows.cpp
void prepare_elementwise(const Call& call, GpuCall& gpu);
void prepare_rmsnorm(const Call& call, GpuCall& gpu);
void prepare_rmsnorm_backward(const Call& call, GpuCall& gpu);
void prepare_rope(const Call& call, GpuCall& gpu);
void prepare_permute(const Call& call, GpuCall& gpu);
void prepare_unpermute(const Call& call, GpuCall& gpu);
void prepare_copy(const Call& call, GpuCall& gpu);
void prepare_broadcast_copy(const Call& call, GpuCall& gpu);

// run_experts.cpp
void prepare_gate(const Call& call, GpuCall& gpu);
void prepare_expert_count(const Call& call, GpuCall& gpu);
void prepare_expert_place(const Call& call, GpuCall& gpu);

// run_optimizer.cpp
void prepare_adam(const Call& call, GpuCall& gpu);

}  // namespace moesim
