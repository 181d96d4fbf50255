// A step put together from the times of its parts: the same whether these come from tables or are
// evaluated directly.
#pragma once

#include <algorithm>

#include "sim/serving/two_batch.hpp"

namespace moesim {

// Of one layer of one rank, and of what comes before and after the layers.
template <class Cost>
struct RankParts {
  Cost prepare{};  // attention up to its core
  Cost core{};     // core, output; in layers with experts ...
  Cost gate{};     // ... the gate, and ...
  Cost shared{};   // ... the shared expert
  Cost dense{};    // feed-forward of dense layers
  Cost embedding{}, head{};
  Cost draft_input{};  // of a draft module
};

// Seconds of the slowest rank, part by part.
struct SlowestParts {
  double prepare = 0, core = 0;  // gate included
  double attention = 0;          // both, of one rank
  double shared = 0;
  double dense_layer = 0;  // attention without gate, and feed-forward
  double embedding = 0, head = 0, draft_input = 0;

  void include(const RankParts<double>& r) {
    prepare = std::max(prepare, r.prepare);
    core = std::max(core, r.core + r.gate);
    attention = std::max(attention, r.prepare + r.core + r.gate);
    shared = std::max(shared, r.shared);
    dense_layer = std::max(dense_layer, r.prepare + r.core + r.dense);
    embedding = std::max(embedding, r.embedding);
    head = std::max(head, r.head);
    draft_input = std::max(draft_input, r.draft_input);
  }
};

// Seconds of a layer's routed experts and exchanges.
struct ExpertParts {
  double experts = 0, dispatch = 0, combine = 0;
  double send = 0, receive = 0, hand_back = 0, reduce = 0;
};

inline double layer_with_experts(const SlowestParts& p, const ExpertParts& e) {
  return p.attention + p.shared + e.dispatch + e.experts + e.combine;
}

inline HalfLayer half_layer(const SlowestParts& p, const ExpertParts& e) {
  HalfLayer half;
  half.prepare = p.prepare;
  half.core = p.core;
  half.shared = p.shared;
  half.send = e.send;
  half.experts = e.receive + e.experts;
  half.hand_back = e.hand_back;
  half.reduce = e.reduce;
  half.dispatch = std::max(0.0, e.dispatch - e.send - e.receive);
  half.combine = std::max(0.0, e.combine - e.hand_back - e.reduce);
  return half;
}

}  // namespace moesim
