// Sixteen bytes at a time: what a thread of a memory-bound kernel loads, computes with and stores,
// and the cast of 128 values that 16 neighbouring lanes hold.
//
// Conversions between FP32 and BF16 or E4M3 are the GPU's own instructions, two values each: in
// integers they would take half of the instructions that fit beside HBM's bandwidth. They give the
// bits of kernels/number_formats.hpp, which is what the emulation computes.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "kernels/cuda.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

inline void refuse_unless(bool fits, const char* what) {
  if (!fits) throw std::invalid_argument(what);
}

inline constexpr std::int64_t kQuantBlock = 128;  // values that share a scale

struct Floats2 {
  float lo, hi;
};
struct Floats8 {
  float at[8];
};

template <class Word>  // uint4, uint2 or an integer
__device__ inline Word load_words(const void* from) {
  return *static_cast<const Word*>(from);
}
// In one instruction: the compiler may take a plain assignment apart into its words.
template <class Word>
__device__ inline void store_words(void* to, Word words) {
#if defined(MOE_EMULATION)
  *static_cast<Word*>(to) = words;
#else
  __stcg(static_cast<Word*>(to), words);
#endif
}

__device__ inline Floats2 unpack_bf16x2(std::uint32_t word) {
  return {bits_to_float(word << 16), bits_to_float(word & 0xffff0000u)};
}

__device__ inline std::uint32_t pack_bf16x2(Floats2 v) {
#if defined(MOE_EMULATION)
  return to_bf16(v.lo).bits | static_cast<std::uint32_t>(to_bf16(v.hi).bits) << 16;
#else
  std::uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(v.hi), "f"(v.lo));
  return word;
#endif
}

__device__ inline std::uint16_t pack_e4m3x2(Floats2 v) {
#if defined(MOE_EMULATION)
  return static_cast<std::uint16_t>(to_e4m3(v.lo).bits | to_e4m3(v.hi).bits << 8);
#else
  std::uint16_t word;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(word) : "f"(v.hi), "f"(v.lo));
  return word;
#endif
}

__device__ inline Floats2 unpack_e4m3x2(std::uint16_t word) {
#if defined(MOE_EMULATION)
  return {to_float(E4m3{static_cast<std::uint8_t>(word & 0xff)}),
          to_float(E4m3{static_cast<std::uint8_t>(word >> 8)})};
#else
  Floats2 v;  // every E4M3 value is an FP16 value
  asm("{\n.reg .b32 halves;\n.reg .b16 lo, hi;\n"
      "cvt.rn.f16x2.e4m3x2 halves, %2;\n"
      "mov.b32 {lo, hi}, halves;\n"
      "cvt.f32.f16 %0, lo;\ncvt.f32.f16 %1, hi;\n}"
      : "=f"(v.lo), "=f"(v.hi)
      : "h"(word));
  return v;
#endif
}

__device__ inline Floats8 unpack_bf16x8(uint4 words) {
  const Floats2 a = unpack_bf16x2(words.x), b = unpack_bf16x2(words.y), c = unpack_bf16x2(words.z),
                d = unpack_bf16x2(words.w);
  return {{a.lo, a.hi, b.lo, b.hi, c.lo, c.hi, d.lo, d.hi}};
}

__device__ inline uint4 pack_bf16x8(const Floats8& v) {
  return make_uint4(pack_bf16x2({v.at[0], v.at[1]}),
                    pack_bf16x2({v.at[2], v.at[3]}),
                    pack_bf16x2({v.at[4], v.at[5]}),
                    pack_bf16x2({v.at[6], v.at[7]}));
}

__device__ inline std::uint32_t pack_e4m3x4(float a, float b, float c, float d) {
  return pack_e4m3x2({a, b}) | static_cast<std::uint32_t>(pack_e4m3x2({c, d})) << 16;
}

__device__ inline Floats8 unpack_e4m3x8(uint2 words) {
  const Floats2 a = unpack_e4m3x2(static_cast<std::uint16_t>(words.x)),
                b = unpack_e4m3x2(static_cast<std::uint16_t>(words.x >> 16)),
                c = unpack_e4m3x2(static_cast<std::uint16_t>(words.y)),
                d = unpack_e4m3x2(static_cast<std::uint16_t>(words.y >> 16));
  return {{a.lo, a.hi, b.lo, b.hi, c.lo, c.hi, d.lo, d.hi}};
}

// The scale of a block and what its values are multiplied by, from its largest magnitude, which is
// no less than 1e-4 so that a block of zeros has a scale (calibrate/reference_fp8.hpp).
struct QuantScale {
  float scale, to_code;
};
__device__ inline QuantScale quant_scale(float amax) {
  constexpr float kLargest = 448, kLeastAmax = 1e-4f;
  const float bounded = fmaxf(amax, kLeastAmax);
  return {__fdiv_rn(bounded, kLargest), __fdiv_rn(kLargest, bounded)};
}

__device__ inline uint2 encode_e4m3x8(const Floats8& v, float to_code) {
  float x[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) x[i] = __fmul_rn(v.at[i], to_code);
  return make_uint2(pack_e4m3x4(x[0], x[1], x[2], x[3]), pack_e4m3x4(x[4], x[5], x[6], x[7]));
}

__device__ inline float largest_magnitude(const Floats8& v) {
  float amax = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) amax = fmaxf(amax, fabsf(v.at[i]));
  return amax;
}

// 128 values in 16 neighbouring lanes, 8 in each; all lanes of the warp call.
struct QuantisedPart {
  uint2 codes;
  float scale;  // the same in the 16 lanes
};
__device__ inline QuantisedPart quantise_part(const Floats8& v) {
  float amax = largest_magnitude(v);
#pragma unroll
  for (int other = 8; other > 0; other /= 2) amax = fmaxf(amax, __shfl_xor_sync(~0u, amax, other));
  const QuantScale scale = quant_scale(amax);
  return {encode_e4m3x8(v, scale.to_code), scale.scale};
}

// How a warp walks over a matrix of rows with a scale for every 128 columns: tiles of 8 rows by 128
// columns, two rows at a time, so that its 8 scales are 32 contiguous bytes and four loads are on
// their way at once. Blocks of 8 warps take neighbouring columns.
struct RowTile {
  static constexpr int kRows = 8, kSteps = kRows / 2, kWarps = 8;
  std::int64_t first_row;      // of this lane's half-warp; every second row from here
  std::int64_t block, column;  // of 128 columns; this lane's first of 8 columns
  bool leader;                 // of the half-warp

  __device__ static RowTile mine() {
    const unsigned lane = threadIdx.x % 32;
    const std::int64_t block = std::int64_t{blockIdx.y} * kWarps + threadIdx.x / 32;
    return {std::int64_t{blockIdx.x} * kRows + lane / 16,
            block,
            block * kQuantBlock + lane % 16 * 8,
            lane % 16 == 0};
  }
  __device__ std::int64_t row(int step) const { return first_row + 2 * step; }

  static dim3 grid(std::int64_t rows, std::int64_t columns) {
    constexpr std::int64_t kColumns = kQuantBlock * kWarps;
    return dim3(static_cast<unsigned>((rows + kRows - 1) / kRows),
                static_cast<unsigned>((columns + kColumns - 1) / kColumns));
  }
};

}  // namespace moesim
