// BF16 operands and result.
#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/gemm_reference.hpp"
#include "calibrate/cases/shape_grid.hpp"

namespace moesim {
namespace {

Work work(const Shape& shape, std::span<const std::int64_t> /*counts*/) {
  const auto m = static_cast<double>(shape[0]), n = static_cast<double>(shape[1]),
             k = static_cast<double>(shape[2]);
  return gemm_work(m, n, k, 1, 2, 2);
}

// Head (a vocabulary of 129280) and gate of DeepSeek-V3, and a few of its layers for models that
// are trained in BF16.
constexpr Weights kWeights[] = {
    {129280, 7168}, {256, 7168}, {4096, 7168}, {7168, 2048}, {24576, 1536}, {4096, 4096}};

std::vector<GridCall> grid(std::int64_t /*num_sms*/) {
  Grid grid;
  for (const std::int64_t m : core_rows())
    for (const Weights w : kWeights)
      if (m <= 8192) grid.add(Tier::core, {m, w.n, w.k});
  for (const std::int64_t m : all_rows())
    for (const Weights w : kWeights)
      if (m <= 8192) grid.add(Tier::edges, {m, w.n, w.k});
  return grid.take();
}

std::vector<Call> checks() {
  return {{{1, 256, 512}, {}, 0, false},
          {{65, 144, 200}, {}, 0, false},
          {{129, 272, 64}, {}, 0, false}};
}

// a[m, k], b[n, k]
Arrays inputs(const Call& call, std::uint64_t seed) {
  const auto m = static_cast<std::size_t>(call.shape[0]),
             n = static_cast<std::size_t>(call.shape[1]),
             k = static_cast<std::size_t>(call.shape[2]);
  return {{"a", Element::bf16, bf16_values(m * k, seed, 0)},
          {"b", Element::bf16, bf16_values(n * k, seed, 1)}};
}

Arrays outputs(const Call& call, const Arrays& in) {
  const std::int64_t m = call.shape[0], n = call.shape[1], k = call.shape[2];
  std::vector<float> out(static_cast<std::size_t>(m * n));
  add_product(
      {in[0].values.data(), nullptr, 1}, {in[1].values.data(), nullptr, 1}, m, n, k, out.data());
  return {{"out", Element::bf16, std::move(out)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  const std::int64_t k = call.shape[2];
  SampledProduct p{call.shape[0], call.shape[1], k, 1, {}, {}, {}, {}};
  const auto rows = [=](std::string_view name, std::int64_t first, std::int64_t count, int which) {
    return Arrays{{name,
                   Element::bf16,
                   bf16_values(static_cast<std::size_t>(count * k),
                               seed,
                               static_cast<std::uint64_t>(which),
                               first * k)}};
  };
  p.a = [=](std::int64_t row) { return rows("a", row, 1, 0); };
  p.b = [=](std::int64_t /*row*/, std::int64_t first, std::int64_t columns) {
    return rows("b", first, columns, 1);
  };
  return product_samples(p);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 1e-2, samples};

}  // namespace

const Case kGemmBf16Case = {
    "gemm_bf16", {"m", "n", "k"}, Form::gemm, Peak::bf16, false, work, &kExperiment};

}  // namespace moesim
