// E4M3 weights transposed for the input gradient: [rows, 2048] to [2048, rows], an expert's down
// projection. Codes only: scales of 128x128 blocks are transposed by a kernel of their own.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"
#include "calibrate/reference_fp8.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kWidth = 2048, kRowBytes = kWidth * 2;

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kRowBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(64 * kRowBytes), bytes_call(129 * kRowBytes)}; }

Arrays inputs(const Call& call, std::uint64_t seed) {
  std::vector<float> codes =
      normal_values(rows_of(call, kRowBytes) * kWidth, seed, 0, call.first_row * kWidth);
  constexpr float kSpread = 100;  // codes of amax-scaled normal values use most of 448
  for (float& c : codes) c = round_e4m3(kSpread * c);
  return {{"codes", Element::e4m3, std::move(codes)}};
}

Arrays outputs(const Call& call, const Arrays& in) {
  const auto rows = static_cast<std::int64_t>(rows_of(call, kRowBytes));
  return {{"codes", Element::e4m3, transposed(in[0].values, rows, kWidth)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  return column_samples({inputs, outputs, kRowBytes}, call, seed);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 0, samples};

}  // namespace

const Case kWeightTransposeCase = moving_case("weight_transpose", &kExperiment);

}  // namespace moesim
