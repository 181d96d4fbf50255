// What a scenario says about routing: how experts are chosen and how popular they are.
//
//   "routing": {
//     "kind": "sampled",                       or "balanced": every rank gets the mean
//     "max_groups": 4,                         the node limit; absent: the model's own
//     "popularity": {"kind": "uniform"},       required when sampled (model/popularity.hpp)
//     "correlation": {"rho": 0.3, "cluster_size": 8},  absent: experts are chosen independently
//     "sequence_cv": 1.37                      absent: all sequences want the same experts
//   }
//
// Popularity stays with an expert for the whole phase. sequence_cv is what differs from one
// sequence to the next: each has a popularity of its own, a Dirichlet draw of this coefficient of
// variation around the layer's. Experts that are balanced over a batch are still uneven within it,
// because a document is about one thing (V3, appendix C, figure 10).
//
// Where experts live is the plan's business (model/parallel_plan, "placement").
#pragma once

#include <cstdint>

#include "model/json_reader.hpp"
#include "model/model_spec.hpp"
#include "model/popularity.hpp"
#include "model/token_logits.hpp"

namespace moesim {

enum class RoutingKind { balanced, sampled };

struct RoutingSpec {
  RoutingKind kind = RoutingKind::sampled;
  std::int64_t max_groups = 1;  // groups a token may visit
  PopularitySpec popularity;
  CorrelationSpec correlation;
  double sequence_cv = 0;

  bool operator==(const RoutingSpec&) const = default;
};

RoutingSpec read_routing(const JsonNode& node, const ModelSpec& model);

// What can only be checked once the seed is known: that a routing can give the popularity that is
// drawn for each layer. InputError at its place in `routing`.
void check_popularity(const JsonNode& routing,
                      const RoutingSpec& spec,
                      const MoeSpec& moe,
                      std::int64_t num_layers,
                      std::uint64_t seed);

}  // namespace moesim
