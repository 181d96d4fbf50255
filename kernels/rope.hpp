// Rotary embedding (RoFormer, arXiv 2104.09864), in place: of each head the last `rotated`
// channels, in pairs (2i, 2i + 1), turn by position * base^(-2i / rotated). In FP32, by a table of
// cosines and sines that the caller makes once.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

struct RopeTable {
  float* table;  // [positions, rotated / 2, 2]: cosine, sine
  std::int64_t positions;
  std::int32_t rotated;  // a multiple of 8
  double base;
};
void rope_table(const RopeTable& p, Stream stream);  // in FP64

struct Rope {
  Bf16* x;                       // [rows, heads, head_dim], aligned to 16 bytes
  const float* table;            // as above
  const std::int32_t* position;  // [rows]; nullptr: the row
  std::int64_t rows;
  std::int32_t heads, head_dim, rotated;  // multiples of 8: head_dim and rotated
  bool inverse;                           // turn back: the gradient
};
void rope(const Rope& p, Stream stream);

}  // namespace moesim
