#include "calibrate/reference.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "model/errors.hpp"
#include "model/random.hpp"

namespace moesim {
namespace {

// Finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31U);
}

// Of the sum of eight independent bytes: mean 8 * 255 / 2, variance 8 * (256^2 - 1) / 12.
constexpr double kMean = 1020;
const double kDeviation = std::sqrt(8 * 65535.0 / 12);

}  // namespace

std::vector<float> normal_values(std::size_t size,
                                 std::uint64_t seed,
                                 std::uint64_t operand,
                                 std::int64_t first) {
  const std::uint64_t stream = mix(mix(seed) ^ operand);
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i) {
    std::uint64_t hash = mix(stream ^ (static_cast<std::uint64_t>(first) + i));
    std::uint64_t sum = 0;
    for (int byte = 0; byte < 8; ++byte, hash >>= 8U) sum += hash & 0xffU;
    values[i] = static_cast<float>((static_cast<double>(sum) - kMean) / kDeviation);
  }
  return values;
}

float round_bf16(float value) {
  if (!std::isfinite(value)) return value;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t half = 0x7fffU + ((bits >> 16U) & 1U);
  return std::bit_cast<float>((bits + half) & 0xffff0000U);
}

std::vector<float> bf16_values(std::size_t size,
                               std::uint64_t seed,
                               std::uint64_t operand,
                               std::int64_t first) {
  std::vector<float> values = normal_values(size, seed, operand, first);
  for (float& v : values) v = round_bf16(v);
  return values;
}

std::vector<std::int64_t> permutation(std::size_t size, std::uint64_t seed) {
  std::vector<std::int64_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  Random random(seed, 0x7065726du);
  for (std::size_t i = size; i > 1; --i) std::swap(order[i - 1], order[random.bits() % i]);
  return order;
}

double relative_l2(const std::vector<float>& found, const std::vector<float>& expected) {
  ENSURE(found.size() == expected.size());
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double e = expected[i], d = found[i] - e;
    difference += d * d;
    norm += e * e;
  }
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (!std::isfinite(difference)) return kInfinite;
  if (norm == 0) return difference == 0 ? 0 : kInfinite;
  return std::sqrt(difference / norm);
}

}  // namespace moesim
