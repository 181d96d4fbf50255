// Which plan is best for a model on a cluster: every combination of a few choices, read and checked
// as a scenario file would be, simulated, and ranked.
//
// A first pass simulates the first phase of every combination with balanced routing, one rank
// standing for all of a stage (the same work, milliseconds each). The best ones that fit in memory,
// and the scenario's own plan, are then simulated as the scenario asks. A combination that cannot
// be run, or that does not fit, is a result with its reason, never dropped.
//
// The data-parallel degree follows from the others, so that the ranks are the cluster's GPUs;
// layers are balanced over the stages, except in the scenario's own plan.
//
// Left out: bounds that would spare simulations, other phases than the first, choices beside those
// asked for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/run.hpp"

namespace moesim {

// tp, pp, ep, schedule (with its SMs for communication), microbatch and recomputation, in the
// values that a model and its cluster make worth trying.
std::vector<FieldAxis> training_axes(const Scenario& scenario);

struct SearchPoint {
  std::vector<std::size_t> choice;  // [axes]; empty: the scenario's own plan
  std::string refusal;              // not empty: it cannot be run, and why
  Bytes memory;                     // of the fullest rank
  bool fits = false;
  Seconds balanced_step;                // of the first pass
  std::optional<PhaseResult> as_asked;  // of the second
};

struct PlanSearch {
  std::vector<FieldAxis> axes;
  std::vector<SearchPoint> points;   // the first is the scenario's own plan
  std::vector<std::size_t> ranking;  // of those simulated as asked, fastest first
};

struct SearchRequest {
  std::filesystem::path scenario;
  Settings settings;  // of the command line
  std::vector<FieldAxis> axes;
  std::size_t num_best = 10;  // simulated as asked
  int num_threads = 1;
  std::function<void(const std::string&)> progress;
};

// The result does not depend on num_threads. Throws an InputError when the scenario itself cannot
// be read.
PlanSearch search_plans(const SearchRequest& request);

}  // namespace moesim
