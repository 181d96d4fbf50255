#include "sim/balancing_capacity.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"

namespace moesim {

DropResult drop_over_capacity(const RoutedTokens& routed,
                              std::int64_t num_experts,
                              const CapacitySpec& spec,
                              std::span<const std::uint8_t> protected_tokens) {
  ENSURE(spec.experts_per_unit >= 1 && num_experts % spec.experts_per_unit == 0);
  ENSURE(spec.factor >= 0);
  const std::size_t num_choices = routed.experts.size(),
                    top_k = static_cast<std::size_t>(routed.top_k);
  ENSURE(protected_tokens.empty() || protected_tokens.size() * top_k == num_choices);
  DropResult result;
  result.kept.assign(num_choices, 1);
  result.capacity = static_cast<std::int64_t>(num_choices);
  if (spec.factor == 0 || num_choices == 0) return result;

  const std::int64_t num_units = num_experts / spec.experts_per_unit;
  const double mean = static_cast<double>(num_choices) / static_cast<double>(num_units);
  // A hair less, or 1.1 x 10 = 11.000000000000002 would be rounded up to 12.
  result.capacity = static_cast<std::int64_t>(std::ceil(spec.factor * mean * (1 - 1e-12)));
  const auto is_protected = [&](std::size_t choice) {
    return !protected_tokens.empty() && protected_tokens[choice / top_k] != 0;
  };
  std::vector<std::vector<std::size_t>> units(static_cast<std::size_t>(num_units));
  for (std::size_t i = 0; i < num_choices; ++i)
    units[static_cast<std::size_t>(routed.experts[i] / spec.experts_per_unit)].push_back(i);
  for (std::vector<std::size_t>& choices : units) {
    if (static_cast<std::int64_t>(choices.size()) <= result.capacity) continue;
    std::sort(choices.begin(), choices.end(), [&](std::size_t a, std::size_t b) {
      if (is_protected(a) != is_protected(b)) return is_protected(a);
      if (routed.weights[a] != routed.weights[b]) return routed.weights[a] > routed.weights[b];
      return a < b;
    });
    auto first = choices.begin() + result.capacity;
    if (is_protected(*first)) ++result.num_units_over;
    for (; first != choices.end(); ++first) {
      if (is_protected(*first)) continue;
      result.kept[*first] = 0;
      ++result.num_dropped;
    }
  }
  result.drop_rate = static_cast<double>(result.num_dropped) / static_cast<double>(num_choices);
  return result;
}

}  // namespace moesim
