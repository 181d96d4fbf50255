// Scales of activations as the cases give them and as kernels read them.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/kernels/arrays.hpp"

namespace moesim {

inline std::int64_t scale_major_ld(std::int64_t rows) { return (rows + 3) / 4 * 4; }

// [rows][blocks] to [blocks][ld]; what lies between the rows and ld is poison.
inline std::vector<float> scale_major(const float* scales, std::int64_t rows, std::int64_t blocks) {
  const std::int64_t ld = scale_major_ld(rows);
  std::vector<float> all = poisoned_floats(blocks * ld);
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t block = 0; block < blocks; ++block)
      all[static_cast<std::size_t>(block * ld + row)] = scales[row * blocks + block];
  return all;
}

}  // namespace moesim
