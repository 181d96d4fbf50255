// The choices of a serving deployment that are worth trying when nobody says which, as changes of
// the scenario's own pools.
//
//   layout             one pool of units that serve whole requests, or one of prefill and one of
//                      decode; the scenario's own units, and others of tp x dp GPUs with experts
//                      over all of them; where experts are unequally popular, with one slot a GPU
//                      for a redundant expert too
//   max_batch_tokens   of a step with prompts: half, the scenario's own, twice
//   max_requests       running at once on a rank: half, the scenario's own, twice
//   two_batch_overlap  where experts are exchanged
//
// A field of every pool is written /serving/pools/*/engine/max_requests; those of one role,
// /serving/pools/prefill/... (decode, colocated).
#pragma once

#include <vector>

#include "model/serving/serving_scenario.hpp"

namespace moesim {

// Before a request's KV cache travels, where a scenario of colocated pools says nothing of it: what
// conversation-h800 states, an assumption there too.
inline constexpr const char* kAssumedTransferLatency = "1 ms";

// `document`: the composed one that the scenario was read from.
std::vector<FieldAxis> serving_axes(const ServingScenario& scenario, const JsonNode& document);

// Settings in order, those of /serving/pools/* and of roles written out for the pools that there
// are once those before them are applied.
Settings with_pools_written_out(const Settings& settings, const JsonNode& document);

}  // namespace moesim
