// One step of Adam with decoupled weight decay (arXiv 1711.05101, algorithm 2), in place: FP32
// gradients and master weights, BF16 moments, BF16 weights written beside (DeepSeek-V3 report,
// section 3.3.3). 22 bytes a weight, in rows of 2048 weights. The third step of a training, at a
// learning rate at which an update shows in a BF16 weight.
#include <cmath>

#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kWidth = 2048, kRowBytes = kWidth * (4 + 8 + 2 * 4 + 2);
// beta and decay of DeepSeek-V3 (report, section 4.2).
constexpr double kRate = 0.125, kBeta1 = 0.9, kBeta2 = 0.95, kEpsilon = 1e-8, kDecay = 0.1,
                 kStep = 3;

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kRowBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kRowBytes), bytes_call(3 * kRowBytes)}; }

// gradient, master, first, second: [rows, 2048]; second moments are squares
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::size_t size = rows_of(call, kRowBytes) * kWidth;
  const std::int64_t at = call.first_row * kWidth;
  std::vector<float> second = normal_values(size, seed, 3, at);
  for (float& v : second) v = round_bf16(v * v);
  return {{"gradient", Element::fp32, normal_values(size, seed, 0, at)},
          {"master", Element::fp32, normal_values(size, seed, 1, at)},
          {"first", Element::bf16, bf16_values(size, seed, 2, at)},
          {"second", Element::bf16, std::move(second)}};
}

Arrays outputs(const Call& /*call*/, const Arrays& in) {
  Arrays out = {{"master", Element::fp32, in[1].values},
                {"first", Element::bf16, in[2].values},
                {"second", Element::bf16, in[3].values},
                {"weight", Element::bf16, {}}};
  for (std::size_t i = 0; i < in[0].values.size(); ++i) {
    const double g = in[0].values[i], weight = in[1].values[i];
    const double first = kBeta1 * in[2].values[i] + (1 - kBeta1) * g,
                 second = kBeta2 * in[3].values[i] + (1 - kBeta2) * g * g;
    const double step = first / (1 - std::pow(kBeta1, kStep)) /
                        (std::sqrt(second / (1 - std::pow(kBeta2, kStep))) + kEpsilon);
    out[0].values[i] = static_cast<float>(weight - kRate * (step + kDecay * weight));
    out[1].values[i] = static_cast<float>(first);
    out[2].values[i] = static_cast<float>(second);
  }
  out[3].values = out[0].values;
  return out;
}

Pieces samples(const Call& call, std::uint64_t seed) {
  return row_samples({inputs, outputs, kRowBytes}, call, seed);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 5e-3, samples};

}  // namespace

const Case kAdamCase = moving_case("adam", &kExperiment);

}  // namespace moesim
