// Absorbed latent attention: every head reads the same 576 values per cached token and returns 512
// of them (DeepSeek-V2 report, section 2.1.2), BF16 cache. The last of several query tokens sees
// the whole cache, each before it one token less. Scores are scaled by the root of the width
// before absorption, 128 + 64.
#include <algorithm>
#include <cmath>

#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kLatent = 576, kValue = 512, kQkHeadDim = 192;

Work work(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  const auto batch = static_cast<double>(shape[0]), kv = static_cast<double>(shape[1]),
             queries = static_cast<double>(shape[2]), heads = static_cast<double>(shape[3]);
  constexpr double kWidth = kLatent + kValue;
  return {2 * batch * queries * heads * kv * kWidth * FLOP,
          2 * batch * (kv * kLatent + queries * heads * kWidth) * B};
}

// Caches of up to 32 GiB.
std::vector<GridCall> grid(std::int64_t /*num_sms*/) {
  constexpr std::int64_t kMostTokens = (std::int64_t{32} << 30) / (2 * kLatent);
  Grid grid;
  const auto add =
      [&](Tier tier, std::int64_t batch, std::int64_t kv, std::int64_t q, std::int64_t h) {
        if (batch * kv <= kMostTokens) grid.add(tier, {batch, kv, q, h});
      };
  for (const std::int64_t kv : {4096, 1024, 16384, 512, 65536})
    for (const std::int64_t batch : {64, 1, 128, 8, 32, 256, 4})
      for (const std::int64_t heads : {128, 16}) add(Tier::core, batch, kv, 1, heads);
  for (const std::int64_t kv : {128, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072})
    for (std::int64_t batch = 1; batch <= 512; batch *= 2) {
      add(Tier::model, batch, kv, 1, 128);
      if (kv >= 1024) add(Tier::edges, batch, kv, 2, 128);
      add(Tier::edges, batch, kv, 1, 64);
      if (batch % 4 == 0) add(Tier::edges, batch, kv, 1, 16);
    }
  return grid.take();
}

std::vector<Call> checks() {
  return {{{2, 100, 1, 16}, {}, 0, false},
          {{1, 129, 2, 128}, {}, 0, false},
          {{3, 64, 1, 64}, {}, 0, false}};
}

// q[batch, seq_q, heads, 576], cache[batch, kv_len, 576]
Arrays inputs(const Call& call, std::uint64_t seed) {
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  const Shape& s = call.shape;
  return {{"q", Element::bf16, bf16_values(size(s[0] * s[2] * s[3] * kLatent), seed, 0)},
          {"cache", Element::bf16, bf16_values(size(s[0] * s[1] * kLatent), seed, 1)}};
}

// One head of one query token over `keys` cached tokens: its value, and the log of the sum of the
// exponentials, which partial results are combined by.
double decode_row(const float* q, const float* cache, std::int64_t keys, float* out) {
  std::vector<double> weights(static_cast<std::size_t>(keys));
  for (std::int64_t j = 0; j < keys; ++j) {
    double score = 0;
    for (std::int64_t d = 0; d < kLatent; ++d)
      score += static_cast<double>(q[d]) * cache[j * kLatent + d];
    weights[static_cast<std::size_t>(j)] = score / std::sqrt(static_cast<double>(kQkHeadDim));
  }
  const double highest = *std::max_element(weights.begin(), weights.end());
  double sum = 0;
  for (double& w : weights) sum += w = std::exp(w - highest);
  std::vector<double> value(kValue);
  for (std::int64_t j = 0; j < keys; ++j)
    for (std::size_t d = 0; d < value.size(); ++d)
      value[d] += weights[static_cast<std::size_t>(j)] / sum *
                  cache[j * kLatent + static_cast<std::int64_t>(d)];
  for (std::size_t d = 0; d < value.size(); ++d) out[d] = static_cast<float>(value[d]);
  return highest + std::log(sum);
}

Arrays outputs(const Call& call, const Arrays& in) {
  const std::int64_t batch = call.shape[0], kv = call.shape[1], queries = call.shape[2],
                     heads = call.shape[3];
  const std::int64_t rows = batch * queries * heads;
  std::vector<float> out(static_cast<std::size_t>(rows * kValue)), lse;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t request = row / (queries * heads), query = row / heads % queries;
    lse.push_back(static_cast<float>(decode_row(in[0].values.data() + row * kLatent,
                                                in[1].values.data() + request * kv * kLatent,
                                                kv - (queries - 1) + query,
                                                out.data() + row * kValue)));
  }
  return {{"out", Element::bf16, std::move(out)}, {"lse", Element::fp32, std::move(lse)}};
}

// Two heads of two query tokens: the cache of a long request takes seconds to make.
Pieces samples(const Call& call, std::uint64_t seed) {
  const std::int64_t kv = call.shape[1], queries = call.shape[2], heads = call.shape[3],
                     rows = call.shape[0] * queries * heads;
  Pieces pieces;
  for (const std::int64_t row : {std::int64_t{0}, rows - 1}) {
    const std::int64_t request = row / (queries * heads), query = row / heads % queries,
                       keys = kv - (queries - 1) + query;
    const Arrays in = {
        {"q", Element::bf16, bf16_values(kLatent, seed, 0, row * kLatent)},
        {"cache",
         Element::bf16,
         bf16_values(static_cast<std::size_t>(keys * kLatent), seed, 1, request * kv * kLatent)}};
    Arrays out = outputs({{1, keys, 1, 1}, {}, 0, false}, in);
    pieces.push_back({0, row * kValue, std::move(out[0].values)});
    pieces.push_back({1, row, std::move(out[1].values)});
  }
  return pieces;
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 5e-3, samples};

}  // namespace

const Case kAttentionDecodeCase = {"attention_decode",
                                   {"batch", "kv_len", "seq_q", "heads"},
                                   Form::decode,
                                   Peak::bf16,
                                   false,
                                   work,
                                   &kExperiment};

}  // namespace moesim
