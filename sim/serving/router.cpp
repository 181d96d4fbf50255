#include "sim/serving/router.hpp"

namespace moesim {

Router::Router(RouterKind kind, std::uint64_t seed, std::size_t num_units)
    : kind_(kind), units_(num_units), random_(seed) {
  candidates_.reserve(num_units);
}

template <class Score>
std::optional<std::size_t> Router::least(std::span<const std::uint8_t> refused_by,
                                         Score score) const {
  std::optional<std::size_t> best;
  double lowest = 0;
  for (std::size_t u = 0; u < units_.size(); ++u) {
    if (!takes(u, refused_by)) continue;
    const double value = score(u);
    if (best && value >= lowest) continue;
    best = u;
    lowest = value;
  }
  return best;
}

std::optional<std::size_t> Router::next_in_turn(std::span<const std::uint8_t> refused_by) {
  for (std::size_t i = 0; i < units_.size(); ++i) {
    const std::size_t u = (turn_ + i) % units_.size();
    if (!takes(u, refused_by)) continue;
    turn_ = u + 1;
    return u;
  }
  return std::nullopt;
}

std::optional<std::size_t> Router::better_of_two(std::span<const std::uint8_t> refused_by) {
  candidates_.clear();
  for (std::size_t u = 0; u < units_.size(); ++u)
    if (takes(u, refused_by)) candidates_.push_back(u);
  const std::size_t n = candidates_.size();
  if (n == 0) return std::nullopt;
  if (n == 1) return candidates_[0];
  // uniform() is below 1, so that the product stays below n but for rounding.
  auto draw = [&](std::size_t below) {
    const auto value = static_cast<std::size_t>(random_.uniform() * static_cast<double>(below));
    return value < below ? value : below - 1;
  };
  std::size_t first = draw(n), second = draw(n - 1);
  if (second >= first) ++second;
  if (second < first) std::swap(first, second);
  const std::size_t a = candidates_[first], b = candidates_[second];
  return units_[b].work < units_[a].work ? b : a;
}

std::optional<std::size_t> Router::choose(std::span<const std::uint8_t> refused_by,
                                          std::span<const std::int64_t> uncached) {
  switch (kind_) {
    case RouterKind::round_robin: return next_in_turn(refused_by);
    case RouterKind::power_of_two: return better_of_two(refused_by);
    case RouterKind::least_kv:
      return least(refused_by, [&](std::size_t u) { return units_[u].kv_share; });
    case RouterKind::prefix_aware:
      if (!uncached.empty())
        return least(refused_by, [&](std::size_t u) {
          return units_[u].work + units_[u].token_time * static_cast<double>(uncached[u]);
        });
      break;
    case RouterKind::least_loaded: break;
  }
  return least(refused_by, [&](std::size_t u) { return units_[u].work; });
}

}  // namespace moesim
