// The sum of two BF16 tensors: two values in, one out, rows of 7168.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kWidth = 7168, kRowBytes = kWidth * 3 * 2;

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kRowBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kRowBytes), bytes_call(3 * kRowBytes)}; }

Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::size_t size = rows_of(call, kRowBytes) * kWidth;
  const std::int64_t first = call.first_row * kWidth;
  return {{"a", Element::bf16, bf16_values(size, seed, 0, first)},
          {"b", Element::bf16, bf16_values(size, seed, 1, first)}};
}

Arrays outputs(const Call& /*call*/, const Arrays& in) {
  std::vector<float> sum(in[0].values);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += in[1].values[i];
  return {{"sum", Element::bf16, std::move(sum)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  return row_samples({inputs, outputs, kRowBytes}, call, seed);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 5e-3, samples};

}  // namespace

const Case kElementwiseCase = moving_case("elementwise", &kExperiment);

}  // namespace moesim
