#include "model/op_graph/pieces.hpp"

namespace moesim {

void head_forward(BlockBuilder& b, const ModelSpec& m, const Dims& d) {
  const auto v = static_cast<double>(m.vocab);
  b.memory("final_rmsnorm", Kernel::rmsnorm, Category::head, Pass::forward, d.Od * d.Hd * 8);
  b.gemm_bf16("lm_head", Category::head, Pass::forward, d.T, m.vocab, d.H, 4);
  // Cross-entropy over FP32 logits: one pass for maximum and sum (fused online), one read for the
  // label.
  b.memory("cross_entropy", Kernel::elementwise, Category::head, Pass::forward, d.Td * v * 4);
}
void head_backward(BlockBuilder& b, const ModelSpec& m, const Dims& d) {
  const auto v = static_cast<double>(m.vocab);
  b.memory("cross_entropy_bwd",
           Kernel::elementwise,
           Category::head,
           Pass::input_grad,
           d.Td * v * (4 + 2));
  b.gemm_bf16("lm_head_dgrad", Category::head, Pass::input_grad, d.T, d.H, m.vocab, 2);
  b.memory("final_rmsnorm_bwd",
           Kernel::rmsnorm_backward,
           Category::head,
           Pass::input_grad,
           d.Od * d.Hd * 8);
}

}  // namespace moesim
