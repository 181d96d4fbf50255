#include "calibrate/cases/gemm_reference.hpp"

#include <algorithm>

#include "calibrate/reference_fp8.hpp"

namespace moesim {

std::int64_t scale_columns(std::int64_t k) { return (k + kScaleBlock - 1) / kScaleBlock; }

Arrays scaled_operand(std::string_view name,
                      std::string_view scale_name,
                      std::int64_t rows,
                      std::int64_t k,
                      bool weights,
                      std::uint64_t seed,
                      std::uint64_t operand) {
  const std::vector<float> values = bf16_values(static_cast<std::size_t>(rows * k), seed, operand);
  Scaled scaled = weights ? quantise_blocks(values, rows, k) : quantise_rows(values, rows, k);
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

}  // namespace moesim
