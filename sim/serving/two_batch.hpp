// Two-batch overlap: the halves of a batch take turns on the compute stream, so that the rows of
// one travel while the other computes. The order in which the halves take turns is that of SGLang's
// two-batch strategies for DeepSeek models (sglang, batch_overlap/operations_strategy.py), which
// follow the diagrams of DeepSeek's open-infra-index, day 6:
//
//   prompts    B right behind A, three stages a layer:
//              [attention, gate, send] [experts, hand back] [shared expert, reduce]
//   decoding   B two stages behind A, five stages a layer:
//              [projections] [core, output, gate] [send, shared expert] [experts, hand back]
//              [reduce]
//
// A layer of one half is blocks on the compute stream; a block may wait for an exchange and may
// start one. Exchanges of a rank share its ports: they run one after the other.
#pragma once

#include <cstdint>

namespace moesim {

// Seconds, of one half. A block and what it waits for or starts.
struct HalfLayer {
  double prepare = 0;  // attention up to its core
  double core = 0;     // the core and what follows it, gate included
  double send = 0;     // starts dispatch; on the compute stream with low latency only
  double shared = 0;                 // expert
  double experts = 0;                // waits for dispatch; receiving included
  double hand_back = 0;              // starts combine
  double reduce = 0;                 // waits for combine
  double dispatch = 0, combine = 0;  // in flight
  double computing() const { return prepare + core + send + shared + experts + hand_back + reduce; }
};

enum class TurnOrder : std::uint8_t { prefill, decode };

// From the start of the first layer to the end of the last, both halves. Halves are alike.
double two_batch_time(const HalfLayer& half, std::int64_t num_layers, TurnOrder order);

}  // namespace moesim
