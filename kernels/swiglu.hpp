// silu(gate) * up of a feed-forward layer, alone and cast to E4M3 in the same pass, and its
// gradient. silu(g) = g / (1 + exp(-g)) in FP32; the product is not rounded before its cast. Scales
// as in kernels/cast.hpp. Pointers are aligned to 16 bytes, the width is a multiple of 8.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

struct Swiglu {
  const Bf16* gate_up;  // [rows, 2 * width], gate first
  Bf16* out;            // [rows, width]
  std::int64_t rows, width;
};
void swiglu(const Swiglu& p, Stream stream);

struct SwigluCast {
  const Bf16* gate_up;      // [rows, 2 * width], gate first
  const float* row_weight;  // [rows], of the expert in the row's token; nullptr: ones
  E4m3* codes;              // [rows, width]
  float* scales;            // [ceil(width / 128)][scale_stride(rows)]
  std::int64_t rows, width;
};
void swiglu_cast(const SwigluCast& p, Stream stream);

struct SwigluBackward {
  const Bf16* gate_up;  // [rows, 2 * width], gate first
  const Bf16* d_out;    // [rows, width]
  Bf16* d_gate_up;      // [rows, 2 * width]
  std::int64_t rows, width;
};
void swiglu_backward(const SwigluBackward& p, Stream stream);

}  // namespace moesim
