// Inputs and plain products of the GEMM cases.
#pragma once

#include <cstdint>
#include <vector>

#include "calibrate/reference.hpp"

namespace moesim {

// Scale blocks in k columns.
std::int64_t scale_columns(std::int64_t k);

// {name [rows, k], its scales}, quantised from bf16 values: along rows in 1x128, or for weights in
// 128x128 blocks. Names are of static storage.
Arrays scaled_operand(std::string_view name,
                      std::string_view scale_name,
                      std::int64_t rows,
                      std::int64_t k,
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

}  // namespace moesim
