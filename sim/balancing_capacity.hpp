// Capacity and token dropping: what happens to the tokens an expert (or a device) has no room for.
//
//   capacity   factor x mean load of a unit, rounded up. A unit is an expert (Switch, arXiv
//              2101.03961, eq. 3; GShard) or all experts of a device (V2, arXiv 2405.04434,
//              section 2.2.4, with factor 1)
//   dropping   of a unit over its capacity the choices with the lowest affinity go first (V2;
//              batch prioritised routing, Riquelme et al. 2021, arXiv 2106.05974); of equal ones
//              the later token. The token's other choices stay
//   protected  tokens that are never dropped, and take room before all others (V2: about 10 % of
//              the training sequences). Where they alone are more than the capacity the unit
//              stays over it
//   no-drop    factor 0 (V3 drops nothing, section 2.1.2)
//
// Affinity here is the weight the gate gave, which for a gate that renormalises is the share of the
// token's affinities. Left out: a second try at the next best expert.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/gate.hpp"

namespace moesim {

struct CapacitySpec {
  double factor = 0;                  // of the mean load of a unit; 0: no limit
  std::int64_t experts_per_unit = 1;  // a divisor of the number of experts
};

struct DropResult {
  std::vector<std::uint8_t> kept;  // [num_tokens, top_k]
  std::int64_t capacity = 0;       // choices a unit has room for
  std::int64_t num_dropped = 0;
  double drop_rate = 0;             // dropped over all choices
  std::int64_t num_units_over = 0;  // whose protected tokens alone are more than the capacity
};

// protected_tokens: [num_tokens], not 0 for those never dropped; empty for none.
DropResult drop_over_capacity(const RoutedTokens& routed,
                              std::int64_t num_experts,
                              const CapacitySpec& spec,
                              std::span<const std::uint8_t> protected_tokens);

}  // namespace moesim
