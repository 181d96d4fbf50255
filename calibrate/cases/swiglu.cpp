// silu(gate) * up of a row of 2048 + 2048 BF16 values, an expert's width, cast to E4M3 with a scale
// for every 128. The product is not rounded before its cast.
#include <cmath>

#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"
#include "calibrate/reference_fp8.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kWidth = 2048, kRowBytes = kWidth * (2 + 2 + 1) + kWidth / kScaleBlock * 4;

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kRowBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kRowBytes), bytes_call(33 * kRowBytes)}; }

// gate_up[rows, 4096], gate first
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::size_t rows = rows_of(call, kRowBytes);
  return {{"gate_up",
           Element::bf16,
           bf16_values(rows * 2 * kWidth, seed, 0, call.first_row * 2 * kWidth)}};
}

Arrays outputs(const Call& call, const Arrays& in) {
  const std::size_t rows = rows_of(call, kRowBytes);
  std::vector<float> product(rows * kWidth);
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t i = 0; i < kWidth; ++i) {
      const double gate = in[0].values[row * 2 * kWidth + i],
                   up = in[0].values[row * 2 * kWidth + kWidth + i];
      product[row * kWidth + i] = static_cast<float>(gate / (1 + std::exp(-gate)) * up);
    }
  Scaled scaled = quantise_rows(product, static_cast<std::int64_t>(rows), kWidth);
  return {{"codes", Element::e4m3, std::move(scaled.codes)},
          {"scales", Element::fp32, std::move(scaled.scales)}};
}

// The GPU's exponential differs in the last digits, which moves a few codes by a step.
Pieces samples(const Call& call, std::uint64_t seed) {
  return row_samples({inputs, outputs, kRowBytes}, call, seed);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 5e-3, samples};

}  // namespace

const Case kSwigluCase = moving_case("swiglu", &kExperiment);

}  // namespace moesim
