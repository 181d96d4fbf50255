#include "calibrate/fit/held_out.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <map>

#include "model/errors.hpp"
#include "model/random.hpp"

namespace moesim {

double quantile(const std::vector<double>& ascending, double p) {
  ENSURE(!ascending.empty() && p >= 0 && p <= 1);
  const double at = p * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, ascending.size() - 1);
  return ascending[below] +
         (at - static_cast<double>(below)) * (ascending[above] - ascending[below]);
}

ErrorSummary summarise(std::vector<double> errors) {
  if (errors.empty()) return {};
  std::sort(errors.begin(), errors.end());
  return {errors.size(),
          quantile(errors, 0.5),
          quantile(errors, 0.9),
          quantile(errors, 0.95),
          errors.back()};
}

std::string percent_text(double fraction) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f %%", 100 * fraction);
  return text.data();
}

std::vector<std::size_t> folds_by_key(const std::vector<std::vector<std::int64_t>>& keys) {
  std::map<std::vector<std::int64_t>, std::size_t> order;
  for (const auto& key : keys) order.emplace(key, 0);
  // In an order of chance: neighbours in the order of keys differ in one axis only, and every
  // sixteenth of them may well be all of one level.
  std::vector<std::size_t*> shuffled;
  for (auto& [key, fold] : order) shuffled.push_back(&fold);
  constexpr std::uint64_t kSeed = 1;
  Random random(kSeed);
  for (std::size_t i = shuffled.size(); i > 1; --i)
    std::swap(shuffled[i - 1], shuffled[random.bits() % i]);
  for (std::size_t i = 0; i < shuffled.size(); ++i) *shuffled[i] = i % kMostFolds;
  std::vector<std::size_t> folds;
  folds.reserve(keys.size());
  for (const auto& key : keys) folds.push_back(order.at(key));
  return folds;
}

}  // namespace moesim
