// What the serving launchers share: settings that are the flags' values under neutral names.
//
// Counts are per data-parallel replica, as the launchers have them; lengths are in tokens. They are
// what a pool of a serving scenario is written with by hand: `run` does not read them as they are.
#pragma once

#include <vector>

#include "reports/import/launcher.hpp"

namespace moesim {

// What stands for a setting whose flags were not given.
struct ServingDefault {
  const char* key;
  const char* flag;                // the one that would say it
  std::optional<JsonValue> value;  // nothing: the launcher chooses when it starts
  const char* text;                // the same for a reader
};

// The degrees of `plan.grid`, then every flag of FlagUse::plan, then the defaults.
void set_serving_settings(LaunchArguments& arguments,
                          const std::vector<ServingDefault>& defaults,
                          LaunchPlan& plan);

}  // namespace moesim
