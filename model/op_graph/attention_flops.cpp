#include "model/op_graph/pieces.hpp"

namespace moesim {

double attention_forward_flops(const ModelSpec& m, const ChunkShape& s) {
  const double keys = 0.5 * static_cast<double>(s.context);
  return 2.0 * static_cast<double>(s.tokens) * keys *
         static_cast<double>(m.num_heads * (m.head_dim + m.value_head_dim()));
}
double attention_backward_flops(const ModelSpec& m, const ChunkShape& s) {
  return attention_forward_flops(m, s) *
         static_cast<double>(3 * m.head_dim + 2 * m.value_head_dim()) /
         static_cast<double>(m.head_dim + m.value_head_dim());
}

}  // namespace moesim
