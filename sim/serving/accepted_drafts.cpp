#include "sim/serving/accepted_drafts.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"

namespace moesim {
namespace {

// Outcomes that a draw could not tell from impossible ones are left out of the tables.
constexpr double kNever = 1e-15;

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
  for (std::int32_t target = 1; target <= kLargest; target += target < kEvery ? 1 : target)
    tables_.push_back(columns(law(target)));
}

std::vector<AcceptedDrafts::Chance> AcceptedDrafts::law(std::int32_t target) const {
  const auto most_in_step = static_cast<std::int32_t>(tokens_chance_.size());
  std::vector<Chance> law;
  std::vector<double> before(target, 0.0);  // [tokens made so far]
  before[0] = 1;
  for (std::int32_t step = 1; step <= target; ++step) {
    std::vector<double> after(target, 0.0);
    std::vector<double> reached(most_in_step, 0.0);  // [overshoot], in this step
    for (std::int32_t made = step - 1; made < target; ++made)
      for (std::int32_t more = 1; more <= most_in_step; ++more) {
        const std::int32_t now = made + more;
        (now < target ? after[now] : reached[now - target]) +=
            before[made] * tokens_chance_[more - 1];
      }
    for (std::int32_t overshoot = 0; overshoot < most_in_step; ++overshoot)
      if (reached[overshoot] > kNever)
        law.push_back({{step, target + overshoot}, reached[overshoot]});
    before = std::move(after);
  }
  return law;
}

// Vose's construction: columns below their share are filled up by those above.
std::vector<AcceptedDrafts::Column> AcceptedDrafts::columns(std::vector<Chance> chances) {
  const std::size_t n = chances.size();
  std::vector<Column> table(n);
  std::vector<std::size_t> below, above;
  for (std::size_t i = 0; i < n; ++i) {
    chances[i].chance *= static_cast<double>(n);
    table[i] = {~0U, chances[i].stretch, chances[i].stretch};
    (chances[i].chance < 1 ? below : above).push_back(i);
  }
  while (!below.empty() && !above.empty()) {
    const std::size_t i = below.back(), filler = above.back();
    below.pop_back();
    table[i].own_share =
        static_cast<std::uint32_t>(std::max(0.0, std::floor(chances[i].chance * 0x1p32) - 1));
    table[i].alias = chances[filler].stretch;
    chances[filler].chance -= 1 - chances[i].chance;
    if (chances[filler].chance < 1) {
      above.pop_back();
      below.push_back(filler);
    }
  }
  return table;
}

}  // namespace moesim
