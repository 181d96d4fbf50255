// Between the arrays of a case (calibrate/reference.hpp), which are floats, and what kernels read
// and write.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "calibrate/reference.hpp"
#include "kernels/number_formats.hpp"

namespace moesim {

inline constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

inline std::vector<Bf16> bf16_array(const std::vector<float>& values) {
  std::vector<Bf16> array;
  for (const float v : values) array.push_back(to_bf16(v));
  return array;
}
inline std::vector<E4m3> e4m3_array(const std::vector<float>& values) {
  std::vector<E4m3> array;
  for (const float v : values) array.push_back(to_e4m3(v));
  return array;
}
inline std::vector<std::int32_t> index_array(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

inline std::vector<Bf16> poisoned_bf16(std::int64_t size) {
  return std::vector<Bf16>(static_cast<std::size_t>(size), to_bf16(kPoison));
}
inline std::vector<E4m3> poisoned_e4m3(std::int64_t size) {
  return std::vector<E4m3>(static_cast<std::size_t>(size), to_e4m3(kPoison));
}
inline std::vector<float> poisoned_floats(std::int64_t size) {
  return std::vector<float>(static_cast<std::size_t>(size), kPoison);
}

template <class Element>
std::vector<float> float_array(const std::vector<Element>& array) {
  std::vector<float> values;
  for (const Element v : array) values.push_back(to_float(v));
  return values;
}

// [a, b] to [b, a] where rows of the input are `stride` apart.
inline std::vector<float> turned(const std::vector<float>& values,
                                 std::int64_t a,
                                 std::int64_t b,
                                 std::int64_t stride) {
  std::vector<float> result;
  for (std::int64_t j = 0; j < b; ++j)
    for (std::int64_t i = 0; i < a; ++i)
      result.push_back(values[static_cast<std::size_t>(i * stride + j)]);
  return result;
}

// [rows, stride] to [rows, columns]
template <class Element>
std::vector<Element> without_padding(const std::vector<Element>& values,
                                     std::int64_t rows,
                                     std::int64_t columns,
                                     std::int64_t stride) {
  std::vector<Element> result;
  for (std::int64_t i = 0; i < rows; ++i)
    result.insert(result.end(), values.begin() + i * stride, values.begin() + i * stride + columns);
  return result;
}

// Bit by bit, but that NaN (poison) equals nothing.
inline bool same_values(const std::vector<float>& found, const std::vector<float>& expected) {
  return found == expected;
}

}  // namespace moesim
