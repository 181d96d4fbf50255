// The experts of one rank: m rows in `groups` parts, each with weights of its own. Only experts
// that have rows read theirs. Rows lie one group after the other without padding.
#include <algorithm>

#include "calibrate/cases/cases.hpp"
#include "calibrate/cases/gemm_reference.hpp"
#include "calibrate/cases/shape_grid.hpp"
#include "calibrate/reference_fp8.hpp"
#include "model/popularity.hpp"

namespace moesim {
namespace {

Work work(const Shape& shape, std::span<const std::int64_t> counts) {
  const auto groups = shape[0];
  const auto m = static_cast<double>(shape[1]), n = static_cast<double>(shape[2]),
             k = static_cast<double>(shape[3]);
  const auto used = counts.empty()
                        ? std::min(groups, shape[1])
                        : std::count_if(counts.begin(), counts.end(), [](auto c) { return c > 0; });
  return gemm_work(m, n, k, static_cast<double>(used), 1, 2);
}

// Even as far as whole rows go: the first groups have one more.
std::vector<std::int64_t> rows_per_group(const Call& call) {
  if (!call.counts.empty()) return call.counts;
  const std::int64_t groups = call.shape[0], m = call.shape[1];
  std::vector<std::int64_t> rows;
  for (std::int64_t g = 0; g < groups; ++g) rows.push_back(m / groups + (g < m % groups ? 1 : 0));
  return rows;
}

// Rows by a power law of exponent 1.2, the most popular expert at most a hundred times the least
// (AIConfigurator's skewed workload has the same exponent).
std::vector<std::int64_t> skewed_rows(std::int64_t groups, std::int64_t m) {
  constexpr double kExponent = 1.2, kSpan = 100;
  PopularitySpec law;
  law.kind = PopularityKind::power_law;
  law.exponent = kExponent;
  law.lowest = 1;
  law.highest = kSpan;
  std::vector<std::int64_t> rows;
  std::int64_t left = m;
  for (const double load : relative_load(law, groups, 1, m)) {
    const auto share = static_cast<std::int64_t>(load * static_cast<double>(m / groups));
    rows.push_back(std::min(share, left));
    left -= rows.back();
  }
  *std::max_element(rows.begin(), rows.end()) += left;
  return rows;
}

std::vector<GridCall> grid(std::int64_t /*num_sms*/) {
  constexpr Weights kExpert[] = {{4096, 7168}, {7168, 2048}};
  constexpr std::int64_t kMostRows = 131072;
  const auto add = [&](Grid& grid, Tier tier, std::int64_t groups, std::int64_t rows, bool skewed) {
    const std::int64_t m = groups * rows;
    if (m > kMostRows) return;
    for (const Weights w : kExpert)
      grid.add({tier,
                {{groups, m, w.n, w.k},
                 skewed ? skewed_rows(groups, m) : std::vector<std::int64_t>(),
                 0,
                 false}});
  };
  Grid grid;
  for (const std::int64_t rows : {1, 16, 64, 128, 256, 1024, 4096})
    for (const std::int64_t groups : {8, 32})
      for (const bool skewed : {false, true})
        if (!skewed || rows > 1) add(grid, Tier::core, groups, rows, skewed);
  for (const std::int64_t rows : {1, 4, 16, 64, 128, 129, 256, 512, 1024, 2048, 4096, 8192, 16384})
    for (const std::int64_t groups : {4, 8, 16, 32}) add(grid, Tier::model, groups, rows, false);
  for (const std::int64_t rows : {4, 32, 128, 512, 2048})
    for (const std::int64_t groups : {4, 8, 16, 32}) add(grid, Tier::model, groups, rows, true);
  for (const std::int64_t rows : {2, 8, 32, 64, 257, 1024, 8192, 16384})
    for (const std::int64_t groups : {1, 2, 16}) add(grid, Tier::edges, groups, rows, false);
  return grid.take();
}

std::vector<Call> checks() {
  return {{{4, 10, 128, 256}, {}, 0, false},
          {{3, 194, 144, 128}, {65, 0, 129}, 0, false},
          {{8, 16, 128, 128}, {0, 0, 1, 15, 0, 0, 0, 0}, 0, false}};
}

// a[m, k], b[groups, n, k]
Arrays inputs(const Call& call, std::uint64_t seed) {
  const std::int64_t groups = call.shape[0], m = call.shape[1], n = call.shape[2],
                     k = call.shape[3];
  Arrays all = scaled_operand("a", "a_scale", {m, k}, false, seed, 0);
  Array b{"b", Element::e4m3, {}}, b_scale{"b_scale", Element::fp32, {}};
  for (std::int64_t g = 0; g < groups; ++g) {
    const auto operand = static_cast<std::uint64_t>(g + 1);
    const Arrays one = scaled_operand("b", "b_scale", {n, k}, true, seed, operand);
    b.values.insert(b.values.end(), one[0].values.begin(), one[0].values.end());
    b_scale.values.insert(b_scale.values.end(), one[1].values.begin(), one[1].values.end());
  }
  all.push_back(std::move(b));
  all.push_back(std::move(b_scale));
  return all;
}

Arrays outputs(const Call& call, const Arrays& in) {
  const std::int64_t m = call.shape[1], n = call.shape[2], k = call.shape[3];
  std::vector<float> out(static_cast<std::size_t>(m * n));
  std::int64_t row = 0, group = 0;
  for (const std::int64_t rows : rows_per_group(call)) {
    const std::int64_t scale_rows = (n + kScaleBlock - 1) / kScaleBlock;
    add_product({in[0].values.data() + row * k, in[1].values.data() + row * scale_columns(k), 1},
                {in[2].values.data() + group * n * k,
                 in[3].values.data() + group * scale_rows * scale_columns(k),
                 kScaleBlock},
                rows,
                n,
                k,
                out.data() + row * n);
    row += rows;
    ++group;
  }
  return {{"out", Element::bf16, std::move(out)}};
}

Pieces samples(const Call& call, std::uint64_t seed) {
  const std::int64_t k = call.shape[3];
  SampledProduct p{call.shape[1], call.shape[2], k, kScaleBlock, {}, {}, {}, {}};
  p.group = [rows = rows_per_group(call)](std::int64_t row) {
    std::int64_t group = 0;
    for (std::int64_t end = rows[0]; row >= end; end += rows[static_cast<std::size_t>(group)])
      ++group;
    return group;
  };
  p.a = [=](std::int64_t row) {
    return scaled_operand("a", "a_scale", {1, k, row}, false, seed, 0);
  };
  p.b = [=, group = p.group](std::int64_t row, std::int64_t first, std::int64_t columns) {
    const auto operand = static_cast<std::uint64_t>(group(row) + 1);
    return scaled_operand("b", "b_scale", {columns, k, first}, true, seed, operand);
  };
  return product_samples(p);
}

constexpr Experiment kExperiment = {grid, checks, inputs, outputs, 1e-2, samples};

}  // namespace

const Case kGroupedGemmFp8Case = {"grouped_gemm_fp8",
                                  {"groups", "m", "n", "k"},
                                  Form::gemm,
                                  Peak::fp8,
                                  false,
                                  work,
                                  &kExperiment};

}  // namespace moesim
