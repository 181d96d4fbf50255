// BF16 and E4M3 as storage, and their conversions, the same on a GPU and on a CPU: to the nearest,
// ties to even. E4M3 is the OCP format: no infinities, largest 448, beyond which values are clipped;
// NaN is 0x7f.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cuda.hpp"

namespace moesim {

struct Bf16 {
  std::uint16_t bits;
};
struct E4m3 {
  std::uint8_t bits;
};

__host__ __device__ inline float bits_to_float(std::uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
__host__ __device__ inline std::uint32_t float_to_bits(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

__host__ __device__ inline float to_float(Bf16 value) {
  return bits_to_float(static_cast<std::uint32_t>(value.bits) << 16);
}

__host__ __device__ inline Bf16 to_bf16(float value) {
  const std::uint32_t bits = float_to_bits(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

__host__ __device__ inline float to_float(E4m3 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x80u) << 24;
  const std::uint32_t exponent = (value.bits >> 3) & 0xfu, mantissa = value.bits & 7u;
  if (exponent == 15 && mantissa == 7) return bits_to_float(sign | 0x7fc00000u);
  if (exponent == 0)
    return bits_to_float(sign | float_to_bits(static_cast<float>(mantissa) * 0x1p-9f));
  return bits_to_float(sign | ((exponent + 120u) << 23) | (mantissa << 20));
}

__host__ __device__ inline E4m3 to_e4m3(float value) {
  const std::uint32_t bits = float_to_bits(value), magnitude = bits & 0x7fffffffu;
  const auto sign = static_cast<std::uint8_t>((bits >> 24) & 0x80u);
  if (magnitude > 0x7f800000u) return {0x7f};
  if (magnitude >= 0x43e00000u) return {static_cast<std::uint8_t>(sign | 0x7e)};  // 448
  if (magnitude < 0x3c800000u) {  // below 2^-6: steps of 2^-9; adding 2^14 leaves them in the mantissa
    const float shifted = bits_to_float(magnitude) + 0x1p14f;
    return {static_cast<std::uint8_t>(sign | (float_to_bits(shifted) & 0xfu))};
  }
  const std::uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
  const std::uint32_t code = (rounded >> 20) - (120u << 3);
  return {static_cast<std::uint8_t>(sign | (code > 0x7eu ? 0x7eu : code))};
}

}  // namespace moesim
