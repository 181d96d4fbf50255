// Causal attention over `seq` new tokens behind a prefix, BF16; FLOPs count each causal pair once,
// in both products.
#include "calibrate/cases/attention_reference.hpp"
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

std::vector<GridCall> grid(std::int64_t /*num_sms*/) { return attention_grid(65536); }

Arrays inputs(const Call& call, std::uint64_t seed) {
  return attention_inputs(attention_sizes(call.shape), seed);
}

Arrays outputs(const Call& call, const Arrays& in) {
  const AttentionSizes a = attention_sizes(call.shape);
  std::vector<float> out(static_cast<std::size_t>(a.batch * a.seq * a.heads * a.v));
  std::vector<double> sum(static_cast<std::size_t>(a.v));
  for (std::int64_t request = 0; request < a.batch; ++request)
    for (std::int64_t head = 0; head < a.heads; ++head)
      for (std::int64_t i = 0; i < a.seq; ++i) {
        const std::vector<double> weights = attention_weights(a, in, request, i, head);
        sum.assign(sum.size(), 0);
        for (std::size_t j = 0; j < weights.size(); ++j) {
          const float* const v =
              in[2].values.data() +
              attention_row(a, request, static_cast<std::int64_t>(j), a.keys(), head, a.v);
          for (std::size_t d = 0; d < sum.size(); ++d) sum[d] += weights[j] * v[d];
        }
        float* const row = out.data() + attention_row(a, request, i, a.seq, head, a.v);
        for (std::size_t d = 0; d < sum.size(); ++d) row[d] = static_cast<float>(sum[d]);
      }
  return {{"out", Element::bf16, std::move(out)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  const AttentionSizes a = attention_sizes(call.shape);
  Pieces pieces;
  for (const SampledQuery& query : sampled_queries(a)) {
    Arrays out = outputs(call_of_query(a, query), inputs_of_query(a, query, seed));
    const std::size_t at = attention_row(a, query.request, query.i, a.seq, query.head, a.v);
    pieces.push_back({0, static_cast<std::int64_t>(at), std::move(out[0].values)});
  }
  return pieces;
}

constexpr Experiment kExperiment = {grid, attention_checks, inputs, outputs, 5e-3, samples};

}  // namespace

const Case kAttentionForwardCase = {
    "attention_forward",
    {"batch", "seq", "prefix", "heads", "qk_head_dim", "v_head_dim"},
    Form::attention,
    Peak::bf16,
    false,
    work,
    &kExperiment};

}  // namespace moesim
