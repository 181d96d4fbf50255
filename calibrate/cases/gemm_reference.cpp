#include "calibrate/cases/gemm_reference.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "calibrate/cases/cases.hpp"
#include "calibrate/reference_fp8.hpp"

namespace moesim {

std::int64_t scale_columns(std::int64_t k) { return (k + kScaleBlock - 1) / kScaleBlock; }

Arrays scaled_operand(std::string_view name,
                      std::string_view scale_name,
                      const OperandRows& of,
                      bool weights,
                      std::uint64_t seed,
                      std::uint64_t operand) {
  const std::vector<float> values =
      bf16_values(static_cast<std::size_t>(of.rows * of.k), seed, operand, of.first * of.k);
  Scaled scaled =
      weights ? quantise_blocks(values, of.rows, of.k) : quantise_rows(values, of.rows, of.k);
  return {{name, Element::e4m3, std::move(scaled.codes)},
          {scale_name, Element::fp32, std::move(scaled.scales)}};
}

void add_product(
    const Factor& a, const Factor& b, std::int64_t m, std::int64_t n, std::int64_t k, float* out) {
  const std::int64_t blocks = scale_columns(k);
  const auto scale = [&](const Factor& f, std::int64_t row, std::int64_t block) -> double {
    return f.scales == nullptr ? 1 : f.scales[row / f.rows_per_scale * blocks + block];
  };
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::int64_t block = 0; block < blocks; ++block) {
        double part = 0;
        const std::int64_t end = std::min(k, (block + 1) * kScaleBlock);
        for (std::int64_t l = block * kScaleBlock; l < end; ++l)
          part += static_cast<double>(a.values[i * k + l]) * b.values[j * k + l];
        sum += part * scale(a, i, block) * scale(b, j, block);
      }
      out[i * n + j] += static_cast<float>(sum);
    }
}

namespace {

Factor factor(const Arrays& of, std::int64_t rows_per_scale) {
  return {of[0].values.data(), of.size() > 1 ? of[1].values.data() : nullptr, rows_per_scale};
}

}  // namespace

Pieces product_samples(const SampledProduct& p) {
  Pieces pieces;
  // b is made once for all rows of a group: it is the most work.
  const std::set<std::int64_t> strips = {0, (p.n - 1) / kScaleBlock * kScaleBlock};
  for (const std::int64_t first : strips) {
    const std::int64_t columns = std::min(kScaleBlock, p.n - first);
    std::map<std::int64_t, Arrays> of_group;
    for (const std::int64_t row : sampled_rows(p.m)) {
      const std::int64_t group = p.group ? p.group(row) : 0;
      if (!of_group.contains(group)) of_group[group] = p.b(row, first, columns);
      std::vector<float> out =
          p.c ? p.c(row, first, columns) : std::vector<float>(static_cast<std::size_t>(columns));
      const Arrays a = p.a(row);
      add_product(
          factor(a, 1), factor(of_group[group], p.rows_per_scale), 1, columns, p.k, out.data());
      pieces.push_back({0, row * p.n + first, std::move(out)});
    }
  }
  return pieces;
}

}  // namespace moesim
