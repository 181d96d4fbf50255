// The gate's affinity, rounding by rounding what Gate (model/gate.cpp) computes on a CPU: a
// multiplication and an addition are never fused. Shared by the gate's two versions, whose choices
// have to be Gate's bit by bit.
#pragma once

#include <cstdint>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

// |x| <= 87.
__device__ inline float gate_exponential(float x) {
  constexpr float kRound = 0x1.8p23f, kLog2E = 0x1.715476p0f;
  const float shifted = __fadd_rn(__fmul_rn(x, kLog2E), kRound), n = __fadd_rn(shifted, -kRound);
  const float r = __fadd_rn(__fadd_rn(x, -__fmul_rn(n, 0.693359375f)),
                            __fmul_rn(n, 2.12194440e-4f));  // ln 2 in two parts
  constexpr float kFactors[] = {1 / 720.f, 1 / 120.f, 1 / 24.f, 1 / 6.f, 1 / 2.f, 1, 1};
  float series = __fdiv_rn(r, 5040);
#pragma unroll
  for (int i = 0; i < 6; ++i) series = __fmul_rn(r, __fadd_rn(kFactors[i], series));
  series = __fadd_rn(kFactors[6], series);
  const std::uint32_t power = (float_to_bits(shifted) << 23) + float_to_bits(1);
  return __fmul_rn(series, bits_to_float(power));
}

__device__ inline float gate_sigmoid(float x) {
  return __fdiv_rn(1, __fadd_rn(1, gate_exponential(fminf(fmaxf(-x, -87), 87))));
}

}  // namespace moesim
