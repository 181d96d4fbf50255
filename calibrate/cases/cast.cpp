// BF16 to E4M3 with a scale for every 128 values of a row of 7168, DeepSeek-V3's hidden width.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"
#include "calibrate/reference_fp8.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kWidth = 7168, kRowBytes = kWidth * (2 + 1) + kWidth / kScaleBlock * 4;

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kRowBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kRowBytes), bytes_call(5 * kRowBytes)}; }

// x[rows, 7168]
Arrays inputs(const Call& call, std::uint64_t seed) {
  return {{"x",
           Element::bf16,
           bf16_values(rows_of(call, kRowBytes) * kWidth, seed, 0, call.first_row * kWidth)}};
}

Arrays outputs(const Call& call, const Arrays& in) {
  const auto rows = static_cast<std::int64_t>(rows_of(call, kRowBytes));
  Scaled scaled = quantise_rows(in[0].values, rows, kWidth);
  return {{"codes", Element::e4m3, std::move(scaled.codes)},
          {"scales", Element::fp32, std::move(scaled.scales)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  return row_samples({inputs, outputs, kRowBytes}, call, seed);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 0, samples};

}  // namespace

const Case kCastCase = moving_case("cast", &kExperiment);

}  // namespace moesim
