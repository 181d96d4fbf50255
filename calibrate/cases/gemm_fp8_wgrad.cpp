// Weight gradient: both operands with 1x128 scales along k (the tokens), accumulated into FP32.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/gemm_reference.hpp"
#include "calibrate/cases/shape_grid.hpp"

namespace moesim {
namespace {

Work work(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  const auto m = static_cast<double>(shape[0]), n = static_cast<double>(shape[1]),
             k = static_cast<double>(shape[2]);
  return gemm_work(m, n, k, 1, 1, 8);
}

// The weights' own sizes, over the tokens of a microbatch or of one expert.
std::vector<GridCall> grid(std::int64_t num_sms) {
  Grid grid;
  for (const std::int64_t tokens : {4096, 1024, 256, 8192, 512, 2048})
    for (const Weights w : core_weights().subspan(0, 5)) grid.add(Tier::core, {w.n, w.k, tokens});
  for (const std::int64_t tokens : {4096, 1024, 256, 8192, 512, 2048, 128, 16384})
    for (const auto weights : {core_weights(), model_weights()})
      for (const Weights w : weights) grid.add(Tier::model, {w.n, w.k, tokens});
  for (const std::int64_t taken : kTakenSms)
    if (taken < num_sms) grid.add({Tier::edges, {{4096, 7168, 4096}, {}, num_sms - taken, false}});
  return grid.take();
}

std::vector<Call> checks() {
  return {{{64, 144, 128}, {}, 0, false},
          {{129, 128, 256}, {}, 0, false},
          {{128, 257, 384}, {}, 0, false}};
}

// a[m, k], b[n, k], and c[m, n] that the product is added to
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::int64_t m = call.shape[0], n = call.shape[1], k = call.shape[2];
  Arrays all = scaled_operand("a", "a_scale", {m, k}, false, seed, 0);
  for (Array& b : scaled_operand("b", "b_scale", {n, k}, false, seed, 1))
    all.push_back(std::move(b));
  all.push_back({"c", Element::fp32, normal_values(static_cast<std::size_t>(m * n), seed, 2)});
  return all;
}

Arrays outputs(const Call& call, const Arrays& in) {
  std::vector<float> c = in[4].values;
  add_product({in[0].values.data(), in[1].values.data(), 1},
              {in[2].values.data(), in[3].values.data(), 1},
              call.shape[0],
              call.shape[1],
              call.shape[2],
              c.data());
  return {{"c", Element::fp32, std::move(c)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  const std::int64_t n = call.shape[1], k = call.shape[2];
  SampledProduct p{call.shape[0], n, k, 1, {}, {}, {}, {}};
  p.a = [=](std::int64_t row) {
    return scaled_operand("a", "a_scale", {1, k, row}, false, seed, 0);
  };
  p.b = [=](std::int64_t /*row*/, std::int64_t first, std::int64_t columns) {
    return scaled_operand("b", "b_scale", {columns, k, first}, false, seed, 1);
  };
  p.c = [=](std::int64_t row, std::int64_t first, std::int64_t columns) {
    return normal_values(static_cast<std::size_t>(columns), seed, 2, row * n + first);
  };
  return product_samples(p);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 1e-3, samples};

}  // namespace

const Case kGemmFp8WgradCase = {
    "gemm_fp8_wgrad", {"m", "n", "k"}, Form::gemm, Peak::fp8, false, work, &kExperiment};

}  // namespace moesim
