// E4M3 activations with a scale for every 128 channels of a token to their transpose with a scale
// for every 128 tokens of a channel: an operand of the weight gradient when only FP8 was kept. 1536
// channels, as in cast_transpose.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/gemm_reference.hpp"
#include "calibrate/cases/shape_grid.hpp"
#include "calibrate/reference_fp8.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kWidth = 1536, kTokenBytes = kWidth * (1 + 1) + kWidth / kScaleBlock * 4,
                       kStripBytes = kScaleBlock * kTokenBytes + kWidth * 4;  // 128 tokens

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kStripBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kStripBytes), bytes_call(2 * kStripBytes)}; }

// from[tokens, 1536], from_scales[tokens, 12]
Arrays inputs(const Call& call, std::uint64_t seed) {
  const auto strips = static_cast<std::int64_t>(rows_of(call, kStripBytes));
  return scaled_operand("from",
                        "from_scales",
                        {strips * kScaleBlock, kWidth, call.first_row * kScaleBlock},
                        false,
                        seed,
                        0);
}

// codes[1536, tokens], scales[1536, tokens / 128]; values are products in FP32 in between
Arrays outputs(const Call& call, const Arrays& in) {
  const auto tokens = static_cast<std::int64_t>(rows_of(call, kStripBytes)) * kScaleBlock;
  std::vector<float> values(in[0].values);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] *= in[1].values[i / static_cast<std::size_t>(kScaleBlock)];
  Scaled scaled = quantise_rows(transposed(values, tokens, kWidth), kWidth, tokens);
  return {{"codes", Element::e4m3, std::move(scaled.codes)},
          {"scales", Element::fp32, std::move(scaled.scales)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  return column_samples({inputs, outputs, kStripBytes}, call, seed);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 0, samples};

}  // namespace

const Case kRecastTransposeCase = moving_case("recast_transpose", &kExperiment);

}  // namespace moesim
