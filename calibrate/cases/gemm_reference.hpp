// Inputs and plain products of the GEMM cases.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "calibrate/reference.hpp"

namespace moesim {

// Scale blocks in k columns.
std::int64_t scale_columns(std::int64_t k);

struct OperandRows {
  std::int64_t rows, k;
  std::int64_t first = 0;  // of a larger operand's rows; of weights a multiple of 128
};
// {name [rows, k], its scales}, quantised from bf16 values: along rows in 1x128, or for weights in
// 128x128 blocks. Names are of static storage.
Arrays scaled_operand(std::string_view name,
                      std::string_view scale_name,
                      const OperandRows& of,
                      bool weights,
                      std::uint64_t seed,
                      std::uint64_t operand);

// Of `values` and `scales`, dequantised rows for a product: [rows, k], a scale for every
// `rows_per_scale` rows and 128 columns; no scales: 1.
struct Factor {
  const float* values;
  const float* scales;
  std::int64_t rows_per_scale;
};

// out[m, n] += a[m, k] b[n, k]^T, summed in double.
void add_product(
    const Factor& a, const Factor& b, std::int64_t m, std::int64_t n, std::int64_t k, float* out);

// Samples of a product: a few rows by the first and the last 128 columns. Operands are {values,
// scales} or {values}, of the sampled rows alone.
struct SampledProduct {
  std::int64_t m, n, k;
  std::int64_t rows_per_scale;  // of b
  std::function<Arrays(std::int64_t row)> a;
  std::function<Arrays(std::int64_t row, std::int64_t first, std::int64_t columns)> b;
  // What the product is added to; none: zeros.
  std::function<std::vector<float>(std::int64_t row, std::int64_t first, std::int64_t columns)> c;
  // Of a row, where b depends on it; none: all have the same.
  std::function<std::int64_t(std::int64_t row)> group;
};
Pieces product_samples(const SampledProduct& p);

}  // namespace moesim
