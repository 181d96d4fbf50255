// Absorbed latent attention: every head reads the same 576 values per cached token and returns 512
// of them (DeepSeek-V2 report, section 2.1.2), BF16 cache.
#include "calibrate/cases/cases.hpp"

namespace moesim {
namespace {

constexpr double kLatent = 576, kValue = 512;

Work work(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  const auto batch = static_cast<double>(shape[0]), kv = static_cast<double>(shape[1]),
             queries = static_cast<double>(shape[2]), heads = static_cast<double>(shape[3]);
  return {2 * batch * queries * heads * kv * (kLatent + kValue) * FLOP,
          2 * batch * (kv * kLatent + queries * heads * (kLatent + kValue)) * B};
}

}  // namespace

const Case kAttentionDecodeCase = {"attention_decode",
                                   {"batch", "kv_len", "seq_q", "heads"},
                                   Form::decode,
                                   Peak::bf16,
                                   false,
                                   work};

}  // namespace moesim
