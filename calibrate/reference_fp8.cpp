#include "calibrate/reference_fp8.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"

namespace moesim {
namespace {

constexpr int kSmallestExponent = -6, kMantissaBits = 3;
constexpr float kLeastAmax = 1e-4F;

std::int64_t blocks(std::int64_t size) { return (size + kScaleBlock - 1) / kScaleBlock; }

// Blocks of `height` rows by 128 columns.
Scaled quantise(const std::vector<float>& values,
                std::int64_t rows,
                std::int64_t columns,
                std::int64_t height) {
  ENSURE(static_cast<std::int64_t>(values.size()) == rows * columns);
  Scaled result{std::vector<float>(values.size()), {}};
  for (std::int64_t top = 0; top < rows; top += height) {
    for (std::int64_t b = 0; b < blocks(columns); ++b) {
      const std::int64_t bottom = std::min(rows, top + height), left = b * kScaleBlock,
                         right = std::min(columns, left + kScaleBlock);
      float amax = kLeastAmax;
      for (std::int64_t r = top; r < bottom; ++r)
        for (std::int64_t c = left; c < right; ++c)
          amax = std::max(amax, std::abs(values[static_cast<std::size_t>(r * columns + c)]));
      const float to_code = kLargestE4m3 / amax;
      for (std::int64_t r = top; r < bottom; ++r)
        for (std::int64_t c = left; c < right; ++c) {
          const auto i = static_cast<std::size_t>(r * columns + c);
          result.codes[i] = round_e4m3(values[i] * to_code);
        }
      result.scales.push_back(amax / kLargestE4m3);
    }
  }
  return result;
}

}  // namespace

float round_e4m3(float value) {
  const float size = std::abs(value);
  if (!(size < kLargestE4m3)) return std::isnan(value) ? value : std::copysign(kLargestE4m3, value);
  if (size == 0) return value;
  const int exponent = std::max(std::ilogb(size), kSmallestExponent);
  const float step = std::ldexp(1.0F, exponent - kMantissaBits);
  return std::copysign(std::nearbyint(size / step) * step, value);
}

Scaled quantise_rows(const std::vector<float>& values, std::int64_t rows, std::int64_t columns) {
  return quantise(values, rows, columns, 1);
}

Scaled quantise_blocks(const std::vector<float>& values, std::int64_t rows, std::int64_t columns) {
  return quantise(values, rows, columns, kScaleBlock);
}

}  // namespace moesim
