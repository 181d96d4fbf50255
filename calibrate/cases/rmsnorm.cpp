// The sum of a layer's result and the residual stream, and its root-mean-square norm: two rows of
// 7168 BF16 values in, two out. The norm's weights stay in the cache and are not counted.
#include <cmath>

#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kWidth = 7168, kRowBytes = kWidth * 4 * 2;
constexpr double kEpsilon = 1e-6;  // rms_norm_eps of DeepSeek-V3's configuration

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kRowBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kRowBytes), bytes_call(5 * kRowBytes)}; }

// x[rows, 7168], residual[rows, 7168], weight[7168]
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::size_t size = rows_of(call, kRowBytes) * kWidth;
  const std::int64_t first = call.first_row * kWidth;
  return {{"x", Element::bf16, bf16_values(size, seed, 0, first)},
          {"residual", Element::bf16, bf16_values(size, seed, 1, first)},
          {"weight", Element::bf16, bf16_values(kWidth, seed, 2)}};
}

Arrays outputs(const Call& call, const Arrays& in) {
  std::vector<float> sums(in[0].values.size()), normed(sums.size());
  for (std::size_t row = 0; row < rows_of(call, kRowBytes); ++row) {
    double squares = 0;
    for (std::size_t i = row * kWidth; i < (row + 1) * kWidth; ++i) {
      sums[i] = in[0].values[i] + in[1].values[i];
      squares += static_cast<double>(sums[i]) * sums[i];
    }
    const double scale = 1 / std::sqrt(squares / kWidth + kEpsilon);
    for (std::size_t i = row * kWidth; i < (row + 1) * kWidth; ++i)
      normed[i] = static_cast<float>(sums[i] * scale * in[2].values[i % kWidth]);
  }
  return {{"normed", Element::bf16, std::move(normed)},
          {"residual", Element::bf16, std::move(sums)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  return row_samples({inputs, outputs, kRowBytes}, call, seed);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 5e-3, samples};

}  // namespace

const Case kRmsnormCase = moving_case("rmsnorm", &kExperiment);

}  // namespace moesim
