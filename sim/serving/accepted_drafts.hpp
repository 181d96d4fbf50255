// How many steps a request of a speculating engine needs for its next tokens. A step makes one
// token and those of its drafts that are accepted before the first refusal (Leviathan et al. 2023);
// steps are independent. So the steps until a given number of tokens exist, and by how many they
// overshoot it, have a law that follows by summing over paths. It is tabulated for some numbers of
// tokens and drawn from with one random number a table (Walker's alias method, chances to 2^-32);
// other numbers are drawn piece by piece.
//
// Left out: that some requests are easier to draft for than others.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "model/random.hpp"

namespace moesim {

class AcceptedDrafts {
 public:
  // acceptance[i]: chance that draft i + 1 is accepted when draft i was. Within [0, 1].
  explicit AcceptedDrafts(const std::vector<double>& acceptance);

  struct Stretch {
    std::int32_t steps = 0, tokens = 0;  // tokens made in them; target or a little more
  };
  // Until there are `target` tokens, at least 1. Without drafts nothing is drawn.
  Stretch draw(std::int32_t target, Random& random) const {
    if (tables_.empty()) return {target, target};
    Stretch drawn;
    while (drawn.tokens < target) {
      const std::vector<Column>& table = tables_[table_below(target - drawn.tokens)];
      const std::uint64_t bits = random.bits();
      const Column& column = table[((bits >> 32) * table.size()) >> 32];
      const bool own = static_cast<std::uint32_t>(bits) <= column.own_share;
      const Stretch& piece = own ? column.own : column.alias;
      drawn.steps += piece.steps;
      drawn.tokens += piece.tokens;
    }
    return drawn;
  }

  struct Chance {
    Stretch stretch;
    double chance = 0;
  };
  std::vector<Chance> law(std::int32_t target) const;  // what can happen, and how likely it is

 private:
  // Tables are of 1, 2, 3, ... 64 tokens, then of 128, 256 and 512.
  static constexpr std::int32_t kEvery = 64, kLargest = 512;
  static std::int32_t table_below(std::int32_t target) {
    if (target <= kEvery) return target - 1;
    if (target >= kLargest) return kEvery + 2;
    return kEvery - 1 + std::bit_width(static_cast<std::uint32_t>(target) / (2 * kEvery));
  }
  struct Column {
    std::uint32_t own_share = 0;  // in 2^-32, less one
    Stretch own, alias;
  };
  static std::vector<Column> columns(std::vector<Chance> chances);

  std::vector<double> tokens_chance_;        // of 1, 2, ... tokens in a step
  std::vector<std::vector<Column>> tables_;  // [table_below(target)]; empty without drafts
};

}  // namespace moesim
