// DeepSeek-V3's gate from logits to experts and weights (model/gate.hpp): 256 experts in 8 groups,
// of which 4 may be chosen from; 8 experts a token. Counted as the trace's gathers are, by the FP32
// logits that are read; the 64 bytes a token that are written are not.
//
// The trace has two gathers and 35 small kernels for it. Ours is one kernel, so a profile fitted to
// it prices either gather as a whole gate, and the small kernels on top.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/shape_grid.hpp"
#include "model/gate.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kExperts = 256, kTopK = 8, kRowBytes = kExperts * 4;

std::vector<GridCall> grid(std::int64_t num_sms) { return bytes_grid(kRowBytes, num_sms); }

std::vector<Call> checks() { return {bytes_call(kRowBytes), bytes_call(77 * kRowBytes)}; }

// logits[tokens, 256], bias[256], small beside the affinities as a trained one is
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::size_t size = rows_of(call, kRowBytes) * kExperts;
  std::vector<float> bias = normal_values(kExperts, seed, 1);
  constexpr float kSpread = 1.0F / 64;
  for (float& b : bias) b *= kSpread;
  return {{"logits", Element::fp32, normal_values(size, seed, 0, call.first_row * kExperts)},
          {"bias", Element::fp32, std::move(bias)}};
}

// experts[tokens, 8], weights[tokens, 8]
Arrays outputs(const Call& call, const Arrays& in) {
  GateSpec spec;
  spec.num_experts = kExperts;
  spec.top_k = kTopK;
  spec.num_groups = 8;
  spec.max_groups = 4;
  spec.score = ScoreFunction::sigmoid;
  spec.renormalise = true;
  spec.scale = 2.5;  // routed_scaling_factor of DeepSeek-V3's configuration
  RoutedTokens routed;
  Gate(spec).route(in[0].values.data(),
                   static_cast<std::int64_t>(rows_of(call, kRowBytes)),
                   in[1].values,
                   routed);
  return {{"experts", Element::index, {routed.experts.begin(), routed.experts.end()}},
          {"weights", Element::fp32, std::move(routed.weights)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  return row_samples({inputs, outputs, kRowBytes}, call, seed);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 0, samples};

}  // namespace

const Case kGateGatherCase = moving_case("gate_gather", &kExperiment);

}  // namespace moesim
