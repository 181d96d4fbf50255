// Causal attention over `seq` new tokens behind a prefix, BF16; FLOPs count each causal pair once,
// in both products.
#include "calibrate/cases/cases.hpp"

namespace moesim {
namespace {

Work work(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  const auto batch = static_cast<double>(shape[0]), seq = static_cast<double>(shape[1]),
             prefix = static_cast<double>(shape[2]), heads = static_cast<double>(shape[3]),
             width = static_cast<double>(shape[4] + shape[5]);
  const double pairs = seq * (prefix + seq / 2);
  return {2 * batch * heads * pairs * width * FLOP,
          2 * batch * heads * width * (seq + (seq + prefix)) * B};
}

}  // namespace

const Case kAttentionForwardCase = {
    "attention_forward",
    {"batch", "seq", "prefix", "heads", "qk_head_dim", "v_head_dim"},
    Form::attention,
    Peak::bf16,
    false,
    work};

}  // namespace moesim
