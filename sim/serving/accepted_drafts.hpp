// How many steps a request of a speculating engine needs for its next tokens. A step makes one token
// and those of its drafts that are accepted before the first refusal (Leviathan et al. 2023); steps
// are independent. So the steps until a given number of tokens exist, and by how many they overshoot
// it, have a law that follows by summing over paths; it is tabulated once and drawn from with one
// random number (Walker's alias method, chances to 2^-32), instead of one a step.
//
// Left out: that some requests are easier to draft for than others.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "model/random.hpp"

namespace moesim {

class AcceptedDrafts {
 public:
  // acceptance[i]: chance that draft i + 1 is accepted when draft i was. Within [0, 1].
  explicit AcceptedDrafts(const std::vector<double>& acceptance);

  // A table is made for each number of tokens up to this; more are drawn piece by piece.
  static constexpr std::int32_t kMostTokens = 64;

  struct Stretch {
    std::int32_t steps = 0, tokens = 0;  // tokens made in them; target or a little more
  };
  // Without drafts nothing is drawn. 1 <= target <= kMostTokens.
  Stretch draw(std::int32_t target, Random& random) const {
    if (tables_.empty()) return {target, target};
    const std::vector<Outcome>& table = tables_[target - 1];
    const std::uint64_t bits = random.bits();
    const Outcome& column = table[((bits >> 32) * table.size()) >> 32];
    const bool own = static_cast<std::uint32_t>(bits) <= column.own_share;
    return own ? column.own : column.alias;
  }
  // Chance that `target` tokens take `steps` steps and overshoot by `overshoot`.
  double chance(std::int32_t target, std::int32_t steps, std::int32_t overshoot) const;

 private:
  struct Outcome {
    std::uint32_t own_share = 0;  // of a column, in 2^-32, less one
    Stretch own, alias;
  };
  std::vector<double> tokens_chance_;         // of 1, 2, ... tokens in a step
  std::vector<std::vector<Outcome>> tables_;  // [target - 1]; empty without drafts
};

}  // namespace moesim
