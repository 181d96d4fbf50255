#include "model/op_graph/pieces.hpp"

namespace moesim {

void gate_forward(BlockBuilder& b, const ModelSpec& m, const Dims& d) {
  const auto e = static_cast<double>(m.moe->num_experts);
  b.gemm_bf16(
      "gate_gemm(bf16->fp32)", Category::gate, Pass::forward, d.own, m.moe->num_experts, d.H, 4);
  b.small("gate_topk_small_kernels", Category::gate, Pass::forward, 35);
  b.memory("gate_topk_gather", Kernel::gate_gather, Category::gate, Pass::forward, d.Od * e * 4, 2);
  if (b.casts().quantises_before_dispatch || m.moe->shared_intermediate > 0)
    b.quantise("cast_moe_in_fp8", Kernel::cast, Pass::forward, d.Od * d.Hd);
}
void gate_backward(BlockBuilder& b, const ModelSpec& m, const Dims& d) {
  b.small("gate_bwd_small_kernels", Category::gate, Pass::input_grad, 26);
  b.gemm_bf16("gate_dgrad", Category::gate, Pass::input_grad, d.own, d.H, m.moe->num_experts, 2);
  // Written once in FP32: one of the small kernels adds it to the accumulator.
  b.gemm_bf16("gate_wgrad", Category::gate, Pass::weight_grad, m.moe->num_experts, d.H, d.own, 4);
}

void experts_forward(BlockBuilder& b, const MoeDims& d, double top_k) {
  b.memory("clean_and_count_expert",
           Kernel::expert_count,
           Category::permute,
           Pass::forward,
           d.recv * top_k * 8);
  b.memory("get_fused_mapping",
           Kernel::expert_map,
           Category::permute,
           Pass::forward,
           d.recv * top_k * 8);
  b.memory("expand_to_expert_order(permute,fp8)",
           Kernel::permute,
           Category::permute,
           Pass::forward,
           (d.recv + d.Rd) * d.row);
  if (!b.casts().quantises_before_dispatch)
    b.quantise("cast_expert_rows", Kernel::cast, Pass::forward, d.Rd * d.Hd);
  b.transpose_weight("transpose_w_gate_up(4 experts,fp8)",
                     Pass::forward,
                     static_cast<double>(d.E) * d.Hd * d.Id * 2);
  b.copy_scales(Pass::forward, d.Rd * (d.Hd + d.Id) / 2, 2);
  b.gemm("grouped_gate_up", Category::moe_gemm, Pass::forward, d.R, 2 * d.I, d.H, d.E);
  b.small("topk_weight_mul", Category::permute, Pass::forward, 1);
  b.swiglu("swiglu*w+cast_fp8(fused)", Pass::forward, d.Rd * d.Id);
  b.transpose_weight(
      "transpose_w_down(4 experts,fp8)", Pass::forward, static_cast<double>(d.E) * d.Hd * d.Id);
  b.gemm("grouped_down", Category::moe_gemm, Pass::forward, d.R, d.H, d.I, d.E);
  b.memory("reduce_fused(unpermute)",
           Kernel::unpermute,
           Category::permute,
           Pass::forward,
           (d.Rd + d.recv) * d.Hd * 2);
  b.keep("cast_gate_up_out_fp8(save act)", Kernel::cast, Pass::forward, d.Rd * d.Id * 2);
  b.small("fill_tensormaps", Category::permute, Pass::forward, 0.75);
}

void experts_backward(BlockBuilder& b, const MoeDims& d) {
  const Pass grad = Pass::input_grad;
  b.keep("castback_gate_up_out(fp8->bf16)", Kernel::cast_back, grad, d.Rd * d.Id * 2);
  b.memory("expand_dY_to_expert_order(permute,fp8)",
           Kernel::permute,
           Category::permute,
           grad,
           (d.recv + d.Rd) * d.row);
  if (!b.casts().quantises_before_dispatch)
    b.quantise("cast_dY_expert_rows", Kernel::cast, grad, d.Rd * d.Hd);
  b.copy_scales(grad, d.Rd * (d.Hd + 2 * d.Id) / 2, 2);
  b.gemm("grouped_down_dgrad", Category::moe_gemm, grad, d.R, d.I, d.H, d.E);
  // Gate, up and their gradients, that of the activation, and the activation where it was not kept.
  b.memory("swiglu_fwd+bwd(fused)",
           Kernel::swiglu_backward,
           kElt,
           grad,
           d.Rd * d.Id * (d.recompute.swiglu ? 12 : 10));
  b.memory("swiglu_topk_weight_bwd", Kernel::swiglu_backward, kElt, grad, d.Rd * d.Id * 4);
  if (d.recompute.swiglu)
    b.transpose("cast_transpose_act(wgrad)", grad, d.Rd * d.Id);
  else
    b.transpose_fp8("cast_transpose_act(wgrad)", grad, d.Rd * d.Id);
  b.small("topk_weight_mul", Category::permute, grad, 1);
}
void experts_input_backward(BlockBuilder& b, const MoeDims& d) {
  const Pass grad = Pass::input_grad;
  b.quantise("cast_d_gate_up_fp8", Kernel::cast, grad, d.Rd * d.Id * 2);
  b.gemm("grouped_gate_up_dgrad", Category::moe_gemm, grad, d.R, d.H, 2 * d.I, d.E);
  b.memory("reduce_fused(unpermute dX)",
           Kernel::unpermute,
           Category::permute,
           grad,
           (d.Rd + d.recv) * d.Hd * 2);
  b.transpose("cast_transpose_d_gate_up(wgrad)", grad, d.Rd * d.Id * 2);
}
void experts_wgrad(BlockBuilder& b, const MoeDims& d) {
  b.transpose_fp8("recast_transpose_dY_expert(fp8->fp8)", Pass::weight_grad, d.Rd * d.Hd);
  b.wgrad("expert_down_wgrad(x4,2 streams)", Category::moe_gemm, d.H, d.I, d.R, d.E);
  b.transpose_fp8("recast_transpose_X_expert(fp8->fp8)", Pass::weight_grad, d.Rd * d.Hd);
  b.wgrad("expert_gate_up_wgrad(x4,2 streams)", Category::moe_gemm, 2 * d.I, d.H, d.R, d.E);
}

}  // namespace moesim
