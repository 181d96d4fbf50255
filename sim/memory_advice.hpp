// What to change when a plan does not fit: each of a few changes to the plan, alone, with the
// memory of the fullest pipeline rank that the changed plan would have. Computed by the memory
// model for the changed plan, never guessed: applying `set` to the scenario gives the same bytes
// (tests/unit/test_memory_advice.cpp).
//
// Left out: what a change costs in time (simulate it), changes of two things at once.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/scenario.hpp"
#include "model/training_memory.hpp"

namespace moesim {

struct MemoryAdvice {
  std::string change;                                    // "zero_stage 2"
  std::vector<std::pair<std::string, std::string>> set;  // key of the plan, JSON text
  Bytes total, saved;                                    // of the fullest rank
  bool fits = false;
};

Bytes fullest(const std::vector<RankMemory>& memory);

// Changes that the plan allows and that save something, the most first. memory, load: of the phase
// as it is.
std::vector<MemoryAdvice> memory_advice(const Scenario& scenario,
                                        const TrainingPhase& phase,
                                        const std::vector<RankMemory>& memory,
                                        const RankLoad& load);

}  // namespace moesim
