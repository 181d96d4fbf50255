// Gradient of silu(gate) * up over rows of an expert's width, 2048: gate, up and the gradient of
// the product in, the gradients of gate and up out, all BF16. With q = 1 / (1 + exp(-gate)),
//   d_gate = d_out up q (1 + gate (1 - q)),  d_up = d_out gate q.
#include <cmath>

#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kWidth = 2048, kRowBytes = kWidth * (2 + 2 + 2 + 2 + 2);

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kRowBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kRowBytes), bytes_call(33 * kRowBytes)}; }

// gate_up[rows, 4096], gate first, d_out[rows, 2048]
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::size_t size = rows_of(call, kRowBytes) * kWidth;
  const std::int64_t first = call.first_row * kWidth;
  return {{"gate_up", Element::bf16, bf16_values(2 * size, seed, 0, 2 * first)},
          {"d_out", Element::bf16, bf16_values(size, seed, 1, first)}};
}

Arrays outputs(const Call& call, const Arrays& in) {
  std::vector<float> d(in[0].values.size());
  for (std::size_t row = 0; row < rows_of(call, kRowBytes); ++row)
    for (std::size_t i = 0; i < kWidth; ++i) {
      const std::size_t gate_at = row * 2 * kWidth + i, up_at = gate_at + kWidth;
      const double gate = in[0].values[gate_at], up = in[0].values[up_at],
                   d_out = in[1].values[row * kWidth + i], q = 1 / (1 + std::exp(-gate));
      d[gate_at] = static_cast<float>(d_out * up * q * (1 + gate * (1 - q)));
      d[up_at] = static_cast<float>(d_out * gate * q);
    }
  return {{"d_gate_up", Element::bf16, std::move(d)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  return row_samples({inputs, outputs, kRowBytes}, call, seed);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 5e-3, samples};

}  // namespace

const Case kSwigluBackwardCase = moving_case("swiglu_backward", &kExperiment);

}  // namespace moesim
