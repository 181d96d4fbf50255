// A DeepSeek-V3 small enough to simulate in milliseconds: eight layers over four stages, 64 H800,
// 64 experts in EP16 over two nodes, eight microbatches of 4096 tokens a pipeline.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sim/simulator.hpp"
#include "tests/shipped_data.hpp"

namespace moesim {

using Changes = std::vector<std::pair<std::string, std::string>>;  // JSON pointer, JSON text

inline Changes small_v3_changes() {
  return {{"/cluster/num_nodes", "8"},
          {"/model/num_hidden_layers", "8"},
          {"/model/n_routed_experts", "64"},
          {"/plan/pp", "4"},
          {"/plan/dp", "16"},
          {"/plan/ep", "16"},
          {"/plan/layers_per_stage", "[3, 2, 2, 1]"},
          {"/phases",
           R"([{"name": "small", "seq_len": 4096, "batch": 128, "steps": 1,
                       "routing": {"kind": "balanced"}}])"}};
}

inline Scenario small_v3(const Changes& changes = {}) {
  Changes all = small_v3_changes();
  all.insert(all.end(), changes.begin(), changes.end());
  return shipped_scenario("deepseek-v3-pretrain", all);
}
inline Changes with_schedule(const std::string& name) {
  return {{"/plan/schedule", "\"" + name + "\""}};
}

// Tokens routed by chance, so that ranks differ.
inline Scenario sampled_small_v3(const Changes& changes = {}) {
  Scenario scenario = small_v3(changes);
  scenario.phases[0].routing.kind = RoutingKind::sampled;
  return scenario;
}

inline StepResult simulate_first_phase(const Scenario& scenario,
                                       const SimulationOptions& options = {}) {
  const CostModel model(scenario.profile, scenario.cluster.gpu);
  return simulate_step(scenario, scenario.phases[0], model, options);
}

}  // namespace moesim
