// What routing does to one expert-parallel group, as pictures show it: how unequal its ranks are in
// every layer, and who sends how much to whom in one dispatch. Drawn from the law that the run
// draws from, with the same seed, for the first group and the first microbatch (or step).
//
// Left out: other groups and microbatches, which are other draws of the same law, and combine,
// which is dispatch backwards.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/routing.hpp"
#include "model/scenario.hpp"
#include "model/serving/serving_spec.hpp"
#include "sim/serving/unit_routing.hpp"

namespace moesim {

struct RoutingPicture {
  std::int64_t tokens = 0;  // of a rank
  // Rows that a rank computes over those of the mean rank: [layer with experts][rank].
  std::vector<std::vector<double>> relative_rows;
  // Of the first layer with experts, to [source][destination]. Nodes, or ranks where the group is
  // in one node. Between nodes: over the network; of a node to itself: over NVLink inside it, what
  // is handed on from other nodes included. Rows that stay on their rank cross no link.
  bool by_node = true;
  std::vector<std::vector<Bytes>> dispatched;
};

RoutingPicture routing_picture(const RoutingSampler& sampler,
                               std::int64_t tokens,
                               ExpertAlgorithm algorithm,
                               Bytes row);

// Of a training phase; nothing without experts or where it is stated.
std::optional<RoutingPicture> routing_picture(const Scenario& scenario,
                                              const TrainingPhase& phase,
                                              int num_threads);

// Of a step of a serving pool that is as large as its engine allows: prompts, or decoding requests
// in a pool that only decodes. Nothing where experts are not shared out.
std::optional<RoutingPicture> routing_picture(const ModelSpec& model,
                                              const PoolSpec& pool,
                                              const UnitRouting& routing);

}  // namespace moesim
