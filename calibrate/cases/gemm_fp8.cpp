// E4M3 activations with 1x128 scales times weights with 128x128 scales, BF16 out: forward and
// input gradient (DeepSeek-V3 report, section 3.3.2).
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/gemm_reference.hpp"
#include "calibrate/cases/shape_grid.hpp"
#include "calibrate/reference_fp8.hpp"

namespace moesim {

Work gemm_work(double m, double n, double k, double weights, double in_bytes, double out_bytes) {
  return {2 * m * n * k * FLOP, (in_bytes * (m * k + weights * n * k) + out_bytes * m * n) * B};
}

namespace {

Work work(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  const auto m = static_cast<double>(shape[0]), n = static_cast<double>(shape[1]),
             k = static_cast<double>(shape[2]);
  return gemm_work(m, n, k, 1, 1, 2);
}

// How compute slows down when communication takes SMs, and while it copies on them.
void add_shares(Grid& grid, std::int64_t num_sms) {
  for (const Weights w : core_weights().subspan(0, 4))
    for (const std::int64_t m : {4096, 128, 1024})
      for (const std::int64_t taken : kTakenSms)
        for (const bool beside : {false, true})
          if (taken < num_sms)
            grid.add({Tier::model, {{m, w.n, w.k}, {}, num_sms - taken, beside}});
}

std::vector<GridCall> grid(std::int64_t num_sms) {
  Grid grid;
  for (const std::int64_t m : core_rows())
    for (const Weights w : core_weights()) grid.add(Tier::core, {m, w.n, w.k});
  for (const std::int64_t m : all_rows())
    for (const auto weights : {core_weights(), model_weights()})
      for (const Weights w : weights) grid.add(Tier::model, {m, w.n, w.k});
  add_shares(grid, num_sms);
  for (const std::int64_t m : all_rows())
    for (const auto weights : {anchor_weights(), shard_weights()})
      for (const Weights w : weights) grid.add(Tier::edges, {m, w.n, w.k});
  return grid.take();
}

// Tile edges in both directions, and weights that end inside a scale block.
std::vector<Call> checks() {
  return {{{1, 256, 512}, {}, 0, false},
          {{64, 144, 384}, {}, 0, false},
          {{65, 128, 256}, {}, 0, false},
          {{129, 192, 256}, {}, 0, false},
          {{257, 272, 128}, {}, 0, false}};
}

// a[m, k], b[n, k]
Arrays inputs(const Call& call, std::uint64_t seed) {
  Arrays all = scaled_operand("a", "a_scale", {call.shape[0], call.shape[2]}, false, seed, 0);
  for (Array& b : scaled_operand("b", "b_scale", {call.shape[1], call.shape[2]}, true, seed, 1))
    all.push_back(std::move(b));
  return all;
}

Arrays outputs(const Call& call, const Arrays& in) {
  const std::int64_t m = call.shape[0], n = call.shape[1], k = call.shape[2];
  std::vector<float> out(static_cast<std::size_t>(m * n));
  add_product({in[0].values.data(), in[1].values.data(), 1},
              {in[2].values.data(), in[3].values.data(), kScaleBlock},
              m,
              n,
              k,
              out.data());
  return {{"out", Element::bf16, std::move(out)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  const std::int64_t k = call.shape[2];
  SampledProduct p{call.shape[0], call.shape[1], k, kScaleBlock, {}, {}, {}, {}};
  p.a = [=](std::int64_t row) {
    return scaled_operand("a", "a_scale", {1, k, row}, false, seed, 0);
  };
  p.b = [=](std::int64_t /*row*/, std::int64_t first, std::int64_t columns) {
    return scaled_operand("b", "b_scale", {columns, k, first}, true, seed, 1);
  };
  return product_samples(p);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 1e-2, samples};

}  // namespace

const Case kGemmFp8Case = {
    "gemm_fp8", {"m", "n", "k"}, Form::gemm, Peak::fp8, false, work, &kExperiment};

}  // namespace moesim
