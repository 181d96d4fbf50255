// Reads thousands of plans of one scenario: all that a choice does not change is read once.
//
// A choice that sets something beside the plan (/cluster, /phases/0/batch, /profile) is a world: a
// composed document of its own. Within a world only the plan's fields differ, so a point is read by
// setting them in a copy of the world's /plan. What is refused, and why, is as if the whole
// scenario had been read; where more than the plan could be at fault, it is.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "model/cost_model.hpp"
#include "model/scenario.hpp"

namespace moesim {

// What the points of a search that differ in their plans only have in common.
struct SearchWorld {
  std::string name;  // of the alternatives that are not of the plan; "" where there are none
  std::int64_t gpus = 0;
  DollarRate price;                    // of a GPU
  double tokens = 0, step_tokens = 0;  // of the main phase, of a step; 0: no plan of it can be read
};

class PlanReader {
 public:
  // `settings`: of the command line. The first phase alone is read, with balanced routing.
  PlanReader(const std::filesystem::path& scenario,
             const Settings& settings,
             const std::vector<FieldAxis>& axes);

  std::size_t num_combinations() const { return num_combinations_; }
  // Of a combination: the alternative of each axis.
  std::vector<std::size_t> choice(std::size_t combination) const;
  const std::vector<SearchWorld>& worlds() const { return worlds_; }   // the scenario's own last
  std::size_t world_of(const std::vector<std::size_t>& choice) const;  // of none: the own one

  struct Plan {
    std::string refusal;                 // not empty: it cannot be run, and why
    std::optional<TrainingPhase> phase;  // else
    const Scenario* scenario = nullptr;  // whose phase it is; its phases are not to be looked at
    const CostModel* model = nullptr;
  };
  // `choice` empty: the scenario's own plan. May be called from several threads.
  Plan read(const std::vector<std::size_t>& choice) const;
  // The whole scenario with the choice, its routing as asked for; main phase only.
  Scenario read_as_asked(const std::vector<std::size_t>& choice) const;

 private:
  struct World {
    Settings settings;                 // its own, of the alternatives
    JsonNode document;                 // composed
    std::string refusal;               // not empty: it has no cluster, and why
    std::optional<Scenario> scenario;  // with some plan; nothing: none can be read
    std::unique_ptr<CostModel> model;  // with it
    bool reads_whole = false;  // the first phase changes the plan: that cannot be read alone
  };
  void start_world(std::size_t index, const std::vector<std::size_t>& choice);
  void find_scenario(std::size_t index, const std::vector<std::size_t>& combinations);
  Settings plan_settings(const std::vector<std::size_t>& choice) const;  // without dp
  // The reason, where the ranks do not multiply out to the GPUs.
  std::string add_degree(std::int64_t gpus, Settings& plan) const;
  Settings all_settings(const World& world, const Settings& plan, bool balanced) const;
  Scenario read_whole(const World& world, const Settings& plan, bool balanced) const;
  static JsonNode plan_node(const World& world, const Settings& plan);
  TrainingPhase read_phase(std::size_t index, const Settings& plan) const;
  void check_batch_of(std::size_t index, const Settings& plan, const TrainingPhase& phase) const;

  std::filesystem::path path_;
  Settings settings_;
  std::vector<FieldAxis> axes_;
  std::vector<bool> is_of_world_;  // [axis]
  std::size_t num_combinations_ = 1;
  JsonNode first_phase_;
  World own_;  // the scenario's, with its own plan
  std::vector<World> read_worlds_;
  std::vector<SearchWorld> worlds_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::string> batch_refusals_;  // "": none
};

}  // namespace moesim
