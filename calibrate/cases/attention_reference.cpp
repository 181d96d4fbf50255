#include "calibrate/cases/attention_reference.hpp"

#include <algorithm>
#include <cmath>

#include "calibrate/cases/shape_grid.hpp"

namespace moesim {

double AttentionSizes::scale() const { return 1 / std::sqrt(static_cast<double>(qk)); }

AttentionSizes attention_sizes(const Shape& s) { return {s[0], s[1], s[2], s[3], s[4], s[5]}; }

Arrays attention_inputs(const AttentionSizes& a, std::uint64_t seed) {
  const auto tensor = [&](std::string_view name,
                          std::int64_t rows,
                          std::int64_t width,
                          int operand) {
    const auto size = static_cast<std::size_t>(a.batch * rows * a.heads * width);
    return Array{name, Element::bf16, bf16_values(size, seed, static_cast<std::uint64_t>(operand))};
  };
  return {
      tensor("q", a.seq, a.qk, 0), tensor("k", a.keys(), a.qk, 1), tensor("v", a.keys(), a.v, 2)};
}

std::size_t attention_row(const AttentionSizes& a,
                          std::int64_t request,
                          std::int64_t row,
                          std::int64_t rows,
                          std::int64_t head,
                          std::int64_t width) {
  return static_cast<std::size_t>(((request * rows + row) * a.heads + head) * width);
}

std::vector<double> attention_weights(const AttentionSizes& a,
                                      const Arrays& in,
                                      std::int64_t request,
                                      std::int64_t i,
                                      std::int64_t head) {
  const float* const q = in[0].values.data() + attention_row(a, request, i, a.seq, head, a.qk);
  std::vector<double> weights(static_cast<std::size_t>(a.prefix + i + 1));
  double highest = -INFINITY;
  for (std::size_t j = 0; j < weights.size(); ++j) {
    const float* const k =
        in[1].values.data() +
        attention_row(a, request, static_cast<std::int64_t>(j), a.keys(), head, a.qk);
    double score = 0;
    for (std::int64_t d = 0; d < a.qk; ++d) score += static_cast<double>(q[d]) * k[d];
    weights[j] = score * a.scale();
    highest = std::max(highest, weights[j]);
  }
  double sum = 0;
  for (double& w : weights) sum += w = std::exp(w - highest);
  for (double& w : weights) w /= sum;
  return weights;
}

std::vector<SampledQuery> sampled_queries(const AttentionSizes& a) {
  return {{0, 0, 0}, {a.batch / 2, a.heads / 3, a.seq / 2}, {a.batch - 1, a.heads - 1, a.seq - 1}};
}

Call call_of_query(const AttentionSizes& a, const SampledQuery& query) {
  return {{1, 1, a.prefix + query.i, 1, a.qk, a.v}, {}, 0, false};
}

Arrays inputs_of_query(const AttentionSizes& a, const SampledQuery& query, std::uint64_t seed) {
  const auto rows = [&](std::string_view name, std::int64_t count, std::int64_t width, int which) {
    Array array{name, Element::bf16, {}};
    for (std::int64_t j = 0; j < count; ++j) {
      const std::size_t at =
          which == 0 ? attention_row(a, query.request, query.i, a.seq, query.head, width)
                     : attention_row(a, query.request, j, a.keys(), query.head, width);
      const std::vector<float> row = bf16_values(static_cast<std::size_t>(width),
                                                 seed,
                                                 static_cast<std::uint64_t>(which),
                                                 static_cast<std::int64_t>(at));
      array.values.insert(array.values.end(), row.begin(), row.end());
    }
    return array;
  };
  const std::int64_t keys = a.prefix + query.i + 1;
  return {rows("q", 1, a.qk, 0), rows("k", keys, a.qk, 1), rows("v", keys, a.v, 2)};
}

std::vector<GridCall> attention_grid(std::int64_t most_tokens) {
  constexpr std::int64_t kHeads = 128, kQk = 192, kV = 128;
  Grid grid;
  const auto add = [&](Tier tier, std::int64_t batch, std::int64_t seq, std::int64_t prefix) {
    if (batch * (seq + prefix) <= most_tokens)
      grid.add(tier, {batch, seq, prefix, kHeads, kQk, kV});
  };
  for (const std::int64_t seq : {4096, 1024, 8192, 256, 2048, 16384, 512, 128})
    for (const std::int64_t batch : {1, 4}) add(Tier::core, batch, seq, 0);
  for (const std::int64_t seq : {1024, 4096}) add(Tier::core, 1, seq, seq);
  for (std::int64_t seq = 128; seq <= 32768; seq *= 2)
    for (std::int64_t batch = 1; batch <= 512; batch *= 4)
      for (const std::int64_t prefix : {std::int64_t{0}, seq}) add(Tier::model, batch, seq, prefix);
  for (const std::int64_t seq : {129, 192, 384, 513, 768, 1536, 3072, 6144})
    add(Tier::edges, 1, seq, 0);
  return grid.take();
}

std::vector<Call> attention_checks() {
  return {{{2, 80, 0, 2, 192, 128}, {}, 0, false},
          {{1, 129, 0, 1, 192, 128}, {}, 0, false},
          {{1, 64, 37, 2, 192, 128}, {}, 0, false}};
}

}  // namespace moesim
