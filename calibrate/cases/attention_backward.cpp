// Backward of causal attention: five products, three of the query-key width and two of the value's.
// With P the softmax of the scaled scores and dP = dO V^T,
//   dV = P^T dO,  dS = P * (dP - rowsum(P * dP)),  dQ = scale dS K,  dK = scale dS^T Q.
#include <numeric>

#include "calibrate/cases/attention_reference.hpp"
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

std::vector<GridCall> grid(std::int64_t /*num_sms*/) { return attention_grid(16384); }

// Those of the forward pass, and the gradient of its result.
Arrays inputs(const Call& call, std::uint64_t seed) {
  const AttentionSizes a = attention_sizes(call.shape);
  Arrays all = attention_inputs(a, seed);
  const auto size = static_cast<std::size_t>(a.batch * a.seq * a.heads * a.v);
  all.push_back({"d_out", Element::bf16, bf16_values(size, seed, 3)});
  return all;
}

struct Gradients {
  std::vector<double> q, k, v;
};

void add_query(const AttentionSizes& a,
               const Arrays& in,
               std::int64_t request,
               std::int64_t head,
               std::int64_t i,
               Gradients& d) {
  const std::size_t at_q = attention_row(a, request, i, a.seq, head, a.qk);
  const float* const q = in[0].values.data() + at_q;
  const float* const d_out = in[3].values.data() + attention_row(a, request, i, a.seq, head, a.v);
  const std::vector<double> p = attention_weights(a, in, request, i, head);
  std::vector<double> dp(p.size());
  for (std::size_t j = 0; j < p.size(); ++j) {
    const std::size_t at =
        attention_row(a, request, static_cast<std::int64_t>(j), a.keys(), head, a.v);
    for (std::size_t c = 0; c < static_cast<std::size_t>(a.v); ++c) {
      dp[j] += static_cast<double>(d_out[c]) * in[2].values[at + c];
      d.v[at + c] += p[j] * d_out[c];
    }
  }
  const double mean = std::inner_product(p.begin(), p.end(), dp.begin(), 0.0);
  for (std::size_t j = 0; j < p.size(); ++j) {
    const double ds = p[j] * (dp[j] - mean) * a.scale();
    const std::size_t at =
        attention_row(a, request, static_cast<std::int64_t>(j), a.keys(), head, a.qk);
    for (std::size_t c = 0; c < static_cast<std::size_t>(a.qk); ++c) {
      d.q[at_q + c] += ds * in[1].values[at + c];
      d.k[at + c] += ds * q[c];
    }
  }
}

Array to_array(std::string_view name, const std::vector<double>& values) {
  return {name, Element::bf16, std::vector<float>(values.begin(), values.end())};
}

Arrays outputs(const Call& call, const Arrays& in) {
  const AttentionSizes a = attention_sizes(call.shape);
  Gradients d{std::vector<double>(in[0].values.size()),
              std::vector<double>(in[1].values.size()),
              std::vector<double>(in[2].values.size())};
  for (std::int64_t request = 0; request < a.batch; ++request)
    for (std::int64_t head = 0; head < a.heads; ++head)
      for (std::int64_t i = 0; i < a.seq; ++i) add_query(a, in, request, head, i, d);
  return {to_array("d_q", d.q), to_array("d_k", d.k), to_array("d_v", d.v)};
}

// A query's gradient depends on it and what it sees alone. Keys are seen by many queries, but the
// last one only by the last.
Pieces samples(const Call& call, std::uint64_t seed) {
  const AttentionSizes a = attention_sizes(call.shape);
  Pieces pieces;
  for (const SampledQuery& query : sampled_queries(a)) {
    Arrays in = inputs_of_query(a, query, seed);
    const std::size_t at_out = attention_row(a, query.request, query.i, a.seq, query.head, a.v);
    in.push_back(
        {"d_out",
         Element::bf16,
         bf16_values(static_cast<std::size_t>(a.v), seed, 3, static_cast<std::int64_t>(at_out))});
    const Arrays d = outputs(call_of_query(a, query), in);
    const auto row_at = [&](std::int64_t row, std::int64_t rows, std::int64_t width) {
      return static_cast<std::int64_t>(
          attention_row(a, query.request, row, rows, query.head, width));
    };
    pieces.push_back({0, row_at(query.i, a.seq, a.qk), d[0].values});
    if (query.i != a.seq - 1) continue;
    pieces.push_back(
        {1, row_at(a.keys() - 1, a.keys(), a.qk), {d[1].values.end() - a.qk, d[1].values.end()}});
    pieces.push_back(
        {2, row_at(a.keys() - 1, a.keys(), a.v), {d[2].values.end() - a.v, d[2].values.end()}});
  }
  return pieces;
}

// BF16 probabilities and score gradients inside the kernel cost more than its result's rounding.
constexpr Experiment kExperiment = {grid, attention_checks, inputs, outputs, 1e-2, samples};

}  // namespace

const Case kAttentionBackwardCase = {
    "attention_backward",
    {"batch", "seq", "prefix", "heads", "qk_head_dim", "v_head_dim"},
    Form::attention,
    Peak::bf16,
    false,
    work,
    &kExperiment};

}  // namespace moesim
