#include "model/op_graph/pieces.hpp"

namespace moesim {
namespace {

constexpr double kBytesPerSum = 2 + 4 + 4;  // BF16 in; the FP32 sum in and out

bool is_ring(const ChunkShape& s) { return s.cp_method == ContextMethod::ring && s.cp > 1; }
double merges(const ChunkShape& s) { return static_cast<double>(s.cp - 1); }

}  // namespace

void merge_ring_outputs(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s, Pass pass) {
  if (!is_ring(s)) return;
  const auto out = static_cast<double>(s.tokens * m.num_heads * m.value_head_dim());
  b.memory("ring_merge_out", Kernel::elementwise, kElt, pass, out * kBytesPerSum, merges(s));
}

void merge_ring_gradients(BlockBuilder& b, const ModelSpec& m, const ChunkShape& s) {
  if (!is_ring(s)) return;
  const auto q = static_cast<double>(s.tokens * m.num_heads * m.head_dim),
             kv =
                 static_cast<double>(s.tokens * m.num_kv_heads * (m.head_dim + m.value_head_dim()));
  const Pass grad = Pass::input_grad;
  b.memory("ring_merge_dQ", Kernel::elementwise, kElt, grad, q * kBytesPerSum, merges(s));
  b.memory("ring_merge_dKV", Kernel::elementwise, kElt, grad, kv * kBytesPerSum, merges(s));
}

}  // namespace moesim
