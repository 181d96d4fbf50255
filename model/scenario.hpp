// A scenario names a model, a cluster, a profile, a workload and a plan, and may override any field
// of them. Reading it is the only stage that touches files; everything after works on the finished,
// checked structs.
//
// `model`, `cluster`, `profile`, `operations` (and a cluster's `gpu`) are file names relative to
// the file that names them, or objects in place. `override` maps JSON pointers of the composed
// document to new values ("/cluster/nic_bandwidth": "100 GB/s") and is applied before anything is
// checked, so an override passes the same checks as a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/cluster_spec.hpp"
#include "model/model_spec.hpp"
#include "model/operations.hpp"
#include "model/parallel_plan.hpp"
#include "model/profile.hpp"
#include "model/routing_spec.hpp"

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

// A changed copy of the scenario, to see what a change does and why.
struct Variant {
  std::string name, because;
  std::vector<std::pair<std::string, JsonNode>> set;
};

struct Scenario {
  std::string name, description;
  std::string
      hash;  // of the composed document: 16 hexadecimal digits of FNV-1a over its canonical text
  ModelSpec model;
  ClusterSpec cluster;
  Profile profile;
  std::vector<TrainingPhase> phases;     // the first is the main one: its step is the headline
  std::vector<std::string> assumptions;  // in the scenario's own words, printed in the report
  std::optional<Operations> operations;  // none: nothing interrupts the run
  std::vector<Variant> variants;
  std::uint64_t seed = 1;
};

// `settings` are further overrides from the command line (pointer, JSON text).
Scenario read_scenario(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, JsonNode>>& settings = {});

}  // namespace moesim
