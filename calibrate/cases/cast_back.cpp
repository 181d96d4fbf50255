// E4M3 with a scale for every 128 values of a row of 7168 back to BF16: what was kept in FP8 until
// the backward pass. Traces count no scales; a call here does, as `cast` does.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/gemm_reference.hpp"
#include "calibrate/cases/shape_grid.hpp"
#include "calibrate/reference_fp8.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kWidth = 7168, kRowBytes = kWidth * (1 + 2) + kWidth / kScaleBlock * 4;

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kRowBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kRowBytes), bytes_call(9 * kRowBytes)}; }

// codes[rows, 7168], scales[rows, 56]
Arrays inputs(const Call& call, std::uint64_t seed) {
  const auto rows = static_cast<std::int64_t>(rows_of(call, kRowBytes));
  return scaled_operand("codes", "scales", {rows, kWidth, call.first_row}, false, seed, 0);
}

// One product in FP32, rounded: a kernel has no choice of its own.
Arrays outputs(const Call& /*call*/, const Arrays& in) {
  std::vector<float> x(in[0].values);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = round_bf16(x[i] * in[1].values[i / static_cast<std::size_t>(kScaleBlock)]);
  return {{"x", Element::bf16, std::move(x)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  return row_samples({inputs, outputs, kRowBytes}, call, seed);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 0, samples};

}  // namespace

const Case kCastBackCase = moving_case("cast_back", &kExperiment);

}  // namespace moesim
