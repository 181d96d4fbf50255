// A training scenario names a model, a cluster, a profile, phases and a plan, and may override any
// field of them (model/scenario_document). Reading it is the only stage that touches files;
// everything after works on the finished, checked structs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/operations.hpp"
#include "model/parallel_plan.hpp"
#include "model/routing_spec.hpp"
#include "model/scenario_document.hpp"

namespace moesim {

// One stretch of a training run with a fixed plan and batch. Either simulated (tokens) or stated
// (gpu_hours).
struct TrainingPhase {
  std::string name;
  std::int64_t seq_len = 0;
  std::int64_t batch = 0;  // sequences per step
  double tokens = 0;       // trained in this phase
  ParallelPlan plan;
  RoutingSpec routing;
  std::optional<std::size_t> ramp_of;      // this is a stretch of the ramp that opens phase [i]
  std::optional<double> stated_gpu_hours;  // taken as given, not simulated
  std::string source;                      // where a stated figure is from
};

struct Scenario : ScenarioBase {
  std::vector<TrainingPhase> phases;    // the first is the main one: its step is the headline
  std::optional<Operations> operations;  // none: nothing interrupts the run
};

// Refuses a serving scenario, naming what simulates it.
Scenario read_scenario(const std::filesystem::path& path, const Settings& settings = {});

}  // namespace moesim
