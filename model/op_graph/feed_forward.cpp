#include "model/op_graph/pieces.hpp"

namespace moesim {

void swiglu_forward(BlockBuilder& b, const Dims& d, std::int64_t width) {
  const auto w = static_cast<double>(width);
  b.scale_transposes(Pass::forward, 2);
  b.gemm("shared_gate_up", Category::ffn_gemm, Pass::forward, d.T, 2 * width, d.H);
  b.swiglu("shared_swiglu+cast_fp8", Pass::forward, d.Td * w);
  b.gemm("shared_down", Category::ffn_gemm, Pass::forward, d.T, d.H, width);
  b.keep("cast_shared_gate_up_out_fp8(save)", Kernel::cast, Pass::forward, d.Td * w * 2);
}

void swiglu_backward(BlockBuilder& b, const Dims& d, std::int64_t width) {
  const auto w = static_cast<double>(width);
  const Pass grad = Pass::input_grad;
  b.keep("castback_shared_gate_up_out", Kernel::cast_back, grad, d.Td * w * 2);
  b.transpose_weight("transpose_w_shared_down", grad, d.Hd * w);
  b.scale_transposes(grad, 2);
  b.gemm("shared_down_dgrad", Category::ffn_gemm, grad, d.T, width, d.H);
  b.transpose_fp8("recast_transpose_dY(fp8->1col)", grad, d.Td * d.Hd);
  if (d.recompute.swiglu)
    b.swiglu("shared_swiglu_recompute+cast_tr", Pass::recompute, d.Td * w);
  else
    b.transpose_fp8("recast_transpose_act", grad, d.Td * w);
  b.memory("shared_swiglu_bwd", Kernel::swiglu_backward, kElt, grad, d.Td * w * 10);
}

void swiglu_input_backward(BlockBuilder& b, const Dims& d, std::int64_t width) {
  const auto w = static_cast<double>(width);
  const Pass grad = Pass::input_grad;
  if (b.casts().transposes_requantise)
    b.keep("castback_moe_in(fp8->bf16)", Kernel::cast_back, grad, d.Td * d.Hd);
  b.transpose_weight("transpose_w_shared_gate_up", grad, d.Hd * w * 2);
  b.quantise("cast_shared_d_gate_up", Kernel::cast, grad, d.Td * w * 2);
  b.gemm("shared_gate_up_dgrad", Category::ffn_gemm, grad, d.T, d.H, 2 * width);
  b.transpose("cast_transpose_shared_d_gate_up", grad, d.Td * w * 2);
  b.transpose("cast_transpose_moe_in", grad, d.Td * d.Hd);
}

void ffn_input_norm_recompute(BlockBuilder& b, const Dims& d) {
  if (!d.recompute.norm) return;
  b.memory("rmsnorm_mlp_recompute", Kernel::rmsnorm, kElt, Pass::recompute, d.Od * d.Hd * 8);
  b.quantise("cast_moe_in_fp8(recompute)", Kernel::cast, Pass::recompute, d.Od * d.Hd);
}

// Closes the attention block on the way forward and opens it on the way back: residual, norm before
// the feed-forward.
void ffn_entry_forward(BlockBuilder& b, const Dims& d) {
  b.memory("residual_scale_mul", Kernel::elementwise, kElt, Pass::forward, d.Od * d.Hd * 4);
  b.memory("rmsnorm_mlp(+residual)", Kernel::rmsnorm, kElt, Pass::forward, d.Od * d.Hd * 8);
}
void ffn_entry_backward(BlockBuilder& b, const Dims& d) {
  b.memory("grad_add", Kernel::elementwise, kElt, Pass::input_grad, d.Od * d.Hd * 6, 2);
  b.memory("rmsnorm_mlp_bwd", Kernel::rmsnorm_backward, kElt, Pass::input_grad, d.Od * d.Hd * 8);
  b.small("rmsnorm_bwd_finalize+accum", kElt, Pass::input_grad, 4);
  b.memory("residual_scale_mul_bwd", Kernel::elementwise, kElt, Pass::input_grad, d.Od * d.Hd * 4);
}
void transpose_norm_output(BlockBuilder& b, const Dims& d, double tokens, double launches) {
  if (d.recompute.norm)
    b.cast_again("cast_transpose_x(attn in)", Pass::input_grad, tokens * d.Hd, launches);
  else
    b.transpose_fp8("recast_transpose_x(attn in)", Pass::input_grad, tokens * d.Hd, launches);
}

}  // namespace moesim
