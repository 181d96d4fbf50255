// Which unit a request goes to. A router knows of each unit its load, its KV pages and whether it
// takes requests; who calls it keeps these up to date.
//
//   round_robin    the next one in order of number
//   least_loaded   the least work: what it has to compute as a time, so that unlike units compare
//   least_kv       the smallest share of KV pages in use or asked for by waiting prompts
//   prefix_aware   the earliest first token: work before it plus the part of the prompt that no
//                  cache of the unit holds (Mooncake, Qin et al. 2024, algorithm 1, without moving
//                  prefixes between units). The longest prefix wins unless its unit is overloaded
//                  by more than the prefix saves; no threshold has to be chosen
//   power_of_two   two different units by chance, and the less loaded of these (Mitzenmacher 2001)
//
// Ties: the lowest number. Left out: state that is old by the time it is used (routers here see
// units as they are; real ones poll), and sticky sessions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "model/random.hpp"
#include "model/serving/serving_spec.hpp"

namespace moesim {

struct UnitView {
  double work = 0;        // s, or any unit that all units share
  double kv_share = 0;    // of its pages
  double token_time = 0;  // of one rank: work that a prompt token adds before its first token
  std::int32_t pool = 0;
  bool available = false;
};

class Router {
 public:
  Router(RouterKind kind, std::uint64_t seed, std::size_t num_units);

  UnitView& unit(std::size_t number) { return units_[number]; }
  const UnitView& unit(std::size_t number) const { return units_[number]; }
  bool wants_prefixes() const { return kind_ == RouterKind::prefix_aware; }

  // Nothing when no unit takes it. refused_by: [pool], not 0 where the pool can never serve the
  // request; empty: all can. uncached: [unit] prompt tokens to compute, for prefix_aware; empty:
  // the same everywhere.
  std::optional<std::size_t> choose(std::span<const std::uint8_t> refused_by = {},
                                    std::span<const std::int64_t> uncached = {});
  bool takes(std::size_t u, std::span<const std::uint8_t> refused_by) const {
    return units_[u].available &&
           (refused_by.empty() || refused_by[static_cast<std::size_t>(units_[u].pool)] == 0);
  }

 private:
  template <class Score>
  std::optional<std::size_t> least(std::span<const std::uint8_t> refused_by, Score score) const;
  std::optional<std::size_t> next_in_turn(std::span<const std::uint8_t> refused_by);
  std::optional<std::size_t> better_of_two(std::span<const std::uint8_t> refused_by);

  RouterKind kind_;
  std::vector<UnitView> units_;
  Random random_;
  std::size_t turn_ = 0;
  std::vector<std::size_t> candidates_;  // of power_of_two, kept for its memory
};

}  // namespace moesim
