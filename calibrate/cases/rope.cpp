// Rotary embedding in place: 64 of the 192 channels of each of 128 heads, in pairs (2i, 2i + 1) by
// the angle position * 10000^(-2i / 64) (RoFormer, arXiv 2104.09864). The token's row is its
// position; cosines and sines come from a table in the cache and are not counted.
#include <cmath>

#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kHeads = 128, kHeadDim = 192, kRotated = 64,
                       kRowBytes = kHeads * kRotated * 2 * 2;
constexpr double kBase = 10000;  // rope_theta of DeepSeek-V3's configuration

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kRowBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kRowBytes), bytes_call(9 * kRowBytes)}; }

// x[rows, 128, 192], of which the last 64 channels turn
Arrays inputs(const Call& call, std::uint64_t seed) {
  constexpr std::int64_t kRow = kHeads * kHeadDim;
  const std::size_t size = rows_of(call, kRowBytes) * kRow;
  return {{"x", Element::bf16, bf16_values(size, seed, 0, call.first_row * kRow)}};
}

Arrays outputs(const Call& call, const Arrays& in) {
  std::vector<float> x = in[0].values;
  for (std::size_t row = 0; row < rows_of(call, kRowBytes); ++row)
    for (std::size_t head = 0; head < kHeads; ++head)
      for (std::size_t i = 0; i < kRotated; i += 2) {
        const double angle =
            (static_cast<double>(call.first_row) + static_cast<double>(row)) *
            std::pow(kBase, -static_cast<double>(i) / static_cast<double>(kRotated));
        float* const pair = x.data() + (row * kHeads + head) * kHeadDim + (kHeadDim - kRotated) + i;
        const double a = pair[0], b = pair[1], c = std::cos(angle), d = std::sin(angle);
        pair[0] = static_cast<float>(a * c - b * d);
        pair[1] = static_cast<float>(a * d + b * c);
      }
  return {{"x", Element::bf16, std::move(x)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  return row_samples({inputs, outputs, kRowBytes}, call, seed);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 5e-3, samples};

}  // namespace

const Case kRopeCase = moving_case("rope", &kExperiment);

}  // namespace moesim
