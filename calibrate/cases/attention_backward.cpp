// Backward of causal attention: five products, three of the query-key width and two of the value's.
#include "calibrate/cases/cases.hpp"

namespace moesim {
namespace {

Work work(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  const auto batch = static_cast<double>(shape[0]), seq = static_cast<double>(shape[1]),
             prefix = static_cast<double>(shape[2]), heads = static_cast<double>(shape[3]),
             qk = static_cast<double>(shape[4]), v = static_cast<double>(shape[5]);
  const double pairs = seq * (prefix + seq / 2);
  return {2 * batch * heads * pairs * (3 * qk + 2 * v) * FLOP,
          2 * batch * heads * (qk + v) * 2 * (seq + (seq + prefix)) * B};
}

}  // namespace

const Case kAttentionBackwardCase = {
    "attention_backward",
    {"batch", "seq", "prefix", "heads", "qk_head_dim", "v_head_dim"},
    Form::attention,
    Peak::bf16,
    false,
    work};

}  // namespace moesim
