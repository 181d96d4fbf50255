// A phase that begins with shorter sequences. In a phase:
//   "seq_ramp": [{"seq_len": 1024, "batch": 61440, "tokens": "100B"}, {"seq_len": 2048, ...}]
// Each stretch is trained in order before the rest of the phase, with the phase's plan and, where
// it gives none, the phase's batch (in sequences: then its steps have fewer tokens). Stretches are
// phases of their own in the run's list (TrainingPhase::ramp_of) and count as part of the phase
// they open.
//
// As for a batch ramp: routing is balanced, because a stretch is a small part of the run, and a
// batch too small for the plan's schedule falls back to its fallback_schedule.
#pragma once

#include <functional>
#include <vector>

#include "model/json_reader.hpp"

namespace moesim {

struct TrainingPhase;

// The stretches of phase number `index`, whose reader has a "seq_ramp". Takes their tokens off the
// phase's. `check` refuses what cannot be run, as it does for phases. InputError where lengths do
// not grow, reach the phase's, or tokens leave nothing of the phase.
std::vector<TrainingPhase> read_sequence_ramp(
    ObjectReader& phase_reader,
    std::size_t index,
    TrainingPhase& phase,
    const std::function<void(const ObjectReader&, const TrainingPhase&)>& check);

}  // namespace moesim
