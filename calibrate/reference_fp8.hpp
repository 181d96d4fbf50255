// FP8 as DeepSeek-V3 trains with it (report, section 3.3.2): E4M3 codes with one FP32 scale for
// every 128 values along a row (activations) or every 128 x 128 block (weights).
//
// E4M3 is the OCP format without infinities: largest 448, smallest normal 2^-6, subnormal step
// 2^-9. A block with largest magnitude `amax` has the scale amax / 448, and its codes are its
// values times 448 / amax, rounded to nearest with ties to even; both quotients in FP32. As in
// DeepGEMM's reference, amax is no less than 1e-4, so that a block of zeros has a scale.
#pragma once

#include <cstdint>
#include <vector>

namespace moesim {

inline constexpr std::int64_t kScaleBlock = 128;
inline constexpr float kLargestE4m3 = 448;

// The nearest value that E4M3 can hold; beyond 448 it is 448.
float round_e4m3(float value);

struct Scaled {
  std::vector<float> codes;  // [rows, columns], decoded: value = code * scale of its block
  std::vector<float> scales;
};

// Scales of [rows, ceil(columns / 128)].
Scaled quantise_rows(const std::vector<float>& values, std::int64_t rows, std::int64_t columns);
// Scales of [ceil(rows / 128), ceil(columns / 128)].
Scaled quantise_blocks(const std::vector<float>& values, std::int64_t rows, std::int64_t columns);

}  // namespace moesim
