// Causal attention by the textbook, for the forward and backward cases: query i of a request sees
// keys 0 ... prefix + i; scores are scaled by the root of the query-key width.
//   q[batch, seq, heads, qk]  k[batch, prefix + seq, heads, qk]  v[batch, prefix + seq, heads, v]
#pragma once

#include <cstdint>
#include <vector>

#include "calibrate/reference.hpp"

namespace moesim {

struct AttentionSizes {
  std::int64_t batch, seq, prefix, heads, qk, v;
  std::int64_t keys() const { return prefix + seq; }
  double scale() const;
};
AttentionSizes attention_sizes(const Shape& shape);

Arrays attention_inputs(const AttentionSizes& a, std::uint64_t seed);  // q, k, v

// Row of query `i` of a head, in a tensor of `width` and `rows` rows a request.
std::size_t attention_row(const AttentionSizes& a,
                          std::int64_t request,
                          std::int64_t row,
                          std::int64_t rows,
                          std::int64_t head,
                          std::int64_t width);

// Softmax of the scores of one query: over its prefix + i + 1 keys.
std::vector<double> attention_weights(const AttentionSizes& a,
                                      const Arrays& in,
                                      std::int64_t request,
                                      std::int64_t i,
                                      std::int64_t head);

// One query of one head with the keys that it sees, taken out of a call: a call of its own, whose
// last key is the query's own.
struct SampledQuery {
  std::int64_t request, head, i;
};
std::vector<SampledQuery> sampled_queries(const AttentionSizes& a);
Call call_of_query(const AttentionSizes& a, const SampledQuery& query);
Arrays inputs_of_query(const AttentionSizes& a, const SampledQuery& query, std::uint64_t seed);

// Prefill of b requests of s tokens, with and without a prefix of the same length: {b, s, prefix}
// for DeepSeek-V3's heads, at most `most_tokens`.
std::vector<GridCall> attention_grid(std::int64_t most_tokens);
std::vector<Call> attention_checks();

}  // namespace moesim
