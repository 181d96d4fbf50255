#include "sim/serving/accepted_drafts.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"

namespace moesim {
namespace {

// [steps][tokens]: chance that the first `steps` steps made `tokens` tokens, all below `target`.
std::vector<std::vector<double>> below_target(const std::vector<double>& tokens_chance,
                                              std::int32_t target) {
  std::vector<std::vector<double>> chance(target, std::vector<double>(target, 0.0));
  chance[0][0] = 1;
  for (std::int32_t step = 1; step < target; ++step)
    for (std::int32_t made = step - 1; made < target; ++made)
      for (std::size_t i = 0; i < tokens_chance.size(); ++i) {
        const std::size_t now = made + i + 1;
        if (now < static_cast<std::size_t>(target))
          chance[step][now] += chance[step - 1][made] * tokens_chance[i];
      }
  return chance;
}

}  // namespace

AcceptedDrafts::AcceptedDrafts(const std::vector<double>& acceptance) {
  double all_before = 1;
  for (const double accepted : acceptance) {
    ENSURE(accepted >= 0 && accepted <= 1);
    tokens_chance_.push_back(all_before * (1 - accepted));
    all_before *= accepted;
  }
  tokens_chance_.push_back(all_before);
  if (acceptance.empty()) return;

  const auto most_in_step = static_cast<std::int32_t>(tokens_chance_.size());
  tables_.resize(kMostTokens);
  for (std::int32_t target = 1; target <= kMostTokens; ++target) {
    const auto before = below_target(tokens_chance_, target);
    std::vector<Stretch> outcomes;
    std::vector<double> chances;
    for (std::int32_t steps = 1; steps <= target; ++steps)
      for (std::int32_t tokens = target; tokens < target + most_in_step; ++tokens) {
        double chance = 0;
        for (std::int32_t last = 1; last <= most_in_step; ++last)
          if (tokens - last >= 0 && tokens - last < target)
            chance += before[steps - 1][tokens - last] * tokens_chance_[last - 1];
        if (chance <= 0) continue;
        outcomes.push_back({steps, tokens});
        chances.push_back(chance);
      }

    // Vose's construction: columns below their share are filled up by those above.
    const std::size_t n = outcomes.size();
    std::vector<Outcome>& table = tables_[target - 1];
    table.resize(n);
    std::vector<std::size_t> below, above;
    for (std::size_t i = 0; i < n; ++i) {
      chances[i] *= static_cast<double>(n);
      table[i] = {~0U, outcomes[i], outcomes[i]};
      (chances[i] < 1 ? below : above).push_back(i);
    }
    while (!below.empty() && !above.empty()) {
      const std::size_t i = below.back(), filler = above.back();
      below.pop_back();
      table[i].own_share =
          static_cast<std::uint32_t>(std::max(0.0, std::floor(chances[i] * 0x1p32) - 1));
      table[i].alias = outcomes[filler];
      chances[filler] -= 1 - chances[i];
      if (chances[filler] < 1) {
        above.pop_back();
        below.push_back(filler);
      }
    }
  }
}

double AcceptedDrafts::chance(std::int32_t target,
                              std::int32_t steps,
                              std::int32_t overshoot) const {
  if (steps < 1 || steps > target) return 0;
  const auto before = below_target(tokens_chance_, target);
  double chance = 0;
  for (std::size_t i = 0; i < tokens_chance_.size(); ++i) {
    const std::int32_t made = target + overshoot - static_cast<std::int32_t>(i) - 1;
    if (made >= 0 && made < target) chance += before[steps - 1][made] * tokens_chance_[i];
  }
  return chance;
}

}  // namespace moesim
