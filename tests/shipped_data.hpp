// The data files that ship with the program, found from this header's own place in the tree.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "model/scenario.hpp"

namespace moesim {

inline std::filesystem::path scenario_folder() {
  return std::filesystem::path(__FILE__).parent_path().parent_path() / "scenarios";
}

inline ModelSpec shipped_model(const std::string& name) {
  return read_model_spec(scenario_folder() / "models" / (name + ".json"));
}

// A shipped scenario with overrides as the command line gives them: {pointer, JSON text}.
inline Scenario shipped_scenario(
    const std::string& name, const std::vector<std::pair<std::string, std::string>>& changes = {}) {
  std::vector<std::pair<std::string, JsonNode>> settings;
  for (const auto& [pointer, text] : changes) {
    settings.emplace_back(pointer, parse_json(text, "change of " + pointer));
  }
  return read_scenario(scenario_folder() / (name + ".jsonc"), settings);
}

}  // namespace moesim
