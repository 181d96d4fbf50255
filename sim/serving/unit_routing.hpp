// How tokens of a unit's steps reach experts. It depends on nothing but the model, the routing and
// where experts live, so that it is drawn once however often the unit's times are asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/routing.hpp"
#include "model/serving/serving_spec.hpp"

namespace moesim {

struct UnitRouting {
  std::shared_ptr<const RoutingSampler> prefill, decode;  // null without experts
};
// What was drawn so far: units whose routing has the same laws share them.
using DrawnSamplers = std::vector<std::shared_ptr<const RoutingSampler>>;

// Of prompts, one a rank is in a step; of decoding requests, as many as the engine takes.
UnitRouting unit_routing(const ModelSpec& model,
                         const PoolSpec& pool,
                         const RoutingSpec& routing,
                         std::uint64_t seed,
                         int num_threads,
                         DrawnSamplers& drawn);

}  // namespace moesim
