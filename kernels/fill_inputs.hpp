// Inputs of the calibration cases, made where they are needed: bit by bit those of normal_values
// (calibrate/reference.hpp), and of quantise_rows and quantise_blocks over them
// (calibrate/reference_fp8.hpp), for tensors that would take a CPU longer than the GPU is lent for.
//
// A value follows from seed, operand and index alone, so what these kernels fill and what the CPU
// reference is given need not be compared to be the same. tests/kernels compares them all the same.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

// Which of the unending rows of values: those of one operand of one seed, from the `first` on.
struct InputStream {
  std::uint64_t seed = 0, operand = 0;
  std::int64_t first = 0;
};

void fill_normal(float* values, std::int64_t size, InputStream from, Stream stream);
void fill_normal(Bf16* values, std::int64_t size, InputStream from, Stream stream);
// Squares of normal values, rounded to BF16: what a second moment may be.
void fill_squares(Bf16* values, std::int64_t size, InputStream from, Stream stream);
// `spread` times a normal value, rounded to E4M3.
void fill_codes(E4m3* codes, std::int64_t size, float spread, InputStream from, Stream stream);

// BF16 values quantised in 1x128 along rows. Scales are scale-major: [ceil(columns / 128)][ld].
struct FillScaledRows {
  E4m3* codes = nullptr;  // [rows, columns]
  float* scales = nullptr;
  std::int64_t rows = 0, columns = 0, ld = 0;  // ld: no less than rows; the padding is left alone
  InputStream from;
};
void fill_scaled_rows(const FillScaledRows& p, Stream stream);

// BF16 values quantised in 128x128. Scales are row-major: [ceil(rows / 128), ceil(columns / 128)].
struct FillScaledBlocks {
  E4m3* codes = nullptr;  // [rows, columns]
  float* scales = nullptr;
  std::int64_t rows = 0, columns = 0;
  InputStream from;
};
void fill_scaled_blocks(const FillScaledBlocks& p, Stream stream);

}  // namespace moesim
