// Expert rows summed back into token rows: for each token two BF16 rows of 7168, weighted, in an
// order that is random. Weights and order are not counted.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kWidth = 7168, kCopies = 2, kTokenBytes = (kCopies + 1) * kWidth * 2;

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kTokenBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kTokenBytes), bytes_call(5 * kTokenBytes)}; }

// rows[2 tokens, 7168], row[tokens, 2]: where a token's results are, weight[tokens, 2]
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::size_t rows = rows_of(call, kTokenBytes) * kCopies;
  const std::vector<std::int64_t> order = permutation(rows, seed);
  return {{"rows", Element::bf16, bf16_values(rows * kWidth, seed, 0)},
          {"row", Element::index, std::vector<float>(order.begin(), order.end())},
          {"weight", Element::fp32, normal_values(rows, seed, 1)}};
}

Arrays outputs(const Call& call, const Arrays& in) {
  const std::size_t tokens = rows_of(call, kTokenBytes);
  std::vector<float> out(tokens * kWidth);
  for (std::size_t i = 0; i < tokens * kCopies; ++i) {
    const auto row = static_cast<std::size_t>(in[1].values[i]);
    for (std::size_t c = 0; c < kWidth; ++c)
      out[i / kCopies * kWidth + c] += in[2].values[i] * in[0].values[row * kWidth + c];
  }
  return {{"out", Element::bf16, std::move(out)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  const auto tokens = static_cast<std::int64_t>(rows_of(call, kTokenBytes));
  const std::vector<std::int64_t> order =
      permutation(static_cast<std::size_t>(tokens * kCopies), seed);
  Pieces pieces;
  for (const std::int64_t token : sampled_rows(tokens)) {
    std::vector<float> sum(kWidth);
    for (std::int64_t i = token * kCopies; i < (token + 1) * kCopies; ++i) {
      const std::vector<float> row =
          bf16_values(kWidth, seed, 0, order[static_cast<std::size_t>(i)] * kWidth);
      const float weight = normal_values(1, seed, 1, i)[0];
      for (std::size_t c = 0; c < row.size(); ++c) sum[c] += weight * row[c];
    }
    pieces.push_back({0, token * kWidth, std::move(sum)});
  }
  return pieces;
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 5e-3, samples};

}  // namespace

const Case kUnpermuteCase = moving_case("unpermute", &kExperiment);

}  // namespace moesim
