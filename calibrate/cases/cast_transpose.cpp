// BF16 activations to E4M3 for the weight gradient: transposed, with a scale for every 128 tokens
// of a channel. 1536 channels, the width of DeepSeek-V3's query latent.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"
#include "calibrate/reference_fp8.hpp"

namespace moesim {
namespace {

// 128 tokens.
constexpr std::int64_t kWidth = 1536, kStripBytes = kScaleBlock * kWidth * (2 + 1) + kWidth * 4;

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kStripBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kStripBytes), bytes_call(2 * kStripBytes)}; }

// x[tokens, 1536]
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::size_t tokens = rows_of(call, kStripBytes) * kScaleBlock;
  return {{"x",
           Element::bf16,
           bf16_values(tokens * kWidth, seed, 0, call.first_row * kScaleBlock * kWidth)}};
}

// codes[1536, tokens], scales[1536, tokens / 128]
Arrays outputs(const Call& call, const Arrays& in) {
  const auto tokens = static_cast<std::int64_t>(rows_of(call, kStripBytes)) * kScaleBlock;
  Scaled scaled = quantise_rows(transposed(in[0].values, tokens, kWidth), kWidth, tokens);
  return {{"codes", Element::e4m3, std::move(scaled.codes)},
          {"scales", Element::fp32, std::move(scaled.scales)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  return column_samples({inputs, outputs, kStripBytes}, call, seed);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 0, samples};

}  // namespace

const Case kCastTransposeCase = moving_case("cast_transpose", &kExperiment);

}  // namespace moesim
