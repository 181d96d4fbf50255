// Gradient of the root-mean-square norm, added to the gradient that passed the norm by: rows of
// 7168 BF16 values, three in and one out. With g = d_out * weight and s' = s / rms(s),
//   d_sum = (g - s' mean(g s')) / rms(s) + d_residual,  d_weight += sum over rows of d_out s'.
// The gradient of the weights stays in the cache and is not counted. Samples of large calls have no
// part of it either: every row is in it.
#include <cmath>

#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kWidth = 7168, kRowBytes = kWidth * 4 * 2;
constexpr double kEpsilon = 1e-6;  // rms_norm_eps of DeepSeek-V3's configuration

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kRowBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kRowBytes), bytes_call(5 * kRowBytes)}; }

// sum[rows, 7168], d_out[rows, 7168], d_residual[rows, 7168], weight[7168], d_weight[7168]
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::size_t size = rows_of(call, kRowBytes) * kWidth;
  const std::int64_t first = call.first_row * kWidth;
  return {{"sum", Element::bf16, bf16_values(size, seed, 0, first)},
          {"d_out", Element::bf16, bf16_values(size, seed, 1, first)},
          {"d_residual", Element::bf16, bf16_values(size, seed, 2, first)},
          {"weight", Element::bf16, bf16_values(kWidth, seed, 3)},
          {"d_weight", Element::fp32, normal_values(kWidth, seed, 4)}};
}

Arrays outputs(const Call& call, const Arrays& in) {
  std::vector<float> d_sum(in[0].values.size());
  std::vector<double> d_weight(in[4].values.begin(), in[4].values.end());
  for (std::size_t row = 0; row < rows_of(call, kRowBytes); ++row) {
    const std::size_t begin = row * kWidth;
    double squares = 0, slope = 0;
    for (std::size_t i = 0; i < kWidth; ++i) {
      const double s = in[0].values[begin + i];
      squares += s * s;
      slope += s * in[1].values[begin + i] * in[3].values[i];
    }
    const double scale = 1 / std::sqrt(squares / kWidth + kEpsilon);
    for (std::size_t i = 0; i < kWidth; ++i) {
      const double s = in[0].values[begin + i] * scale, d_out = in[1].values[begin + i];
      d_sum[begin + i] = static_cast<float>(
          scale * (d_out * in[3].values[i] - s * slope * scale / kWidth) + in[2].values[begin + i]);
      d_weight[i] += d_out * s;
    }
  }
  return {{"d_sum", Element::bf16, std::move(d_sum)},
          {"d_weight", Element::fp32, std::vector<float>(d_weight.begin(), d_weight.end())}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  return row_samples({inputs, outputs, kRowBytes}, call, seed, 1);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 5e-3, samples};

}  // namespace

const Case kRmsnormBackwardCase = moving_case("rmsnorm_backward", &kExperiment);

}  // namespace moesim
