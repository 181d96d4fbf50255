// Scenarios of documents that are composed in memory, for those who read the same scenario with
// many settings: of a sweep's point most of the time would otherwise go into reading and parsing
// the same files again. The results are those of reading the files.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include "model/json_writer.hpp"
#include "model/scenario.hpp"
#include "model/serving/serving_scenario.hpp"

namespace moesim {

// Files that were read and parsed, each once. Changes of a file after its first reading are not
// seen. Any number of threads may share one.
class JsonFiles {
 public:
  const JsonNode& read(const std::filesystem::path& path);  // lives as long as this

 private:
  std::mutex mutex_;
  std::map<std::string, JsonNode> files_;  // its nodes stay where they are
};

JsonNode compose_document(const std::filesystem::path& path,
                          const Settings& settings,
                          JsonFiles& files);

// Of a composed document. `folder` is where its file stands: traces are named relative to it.
Scenario read_scenario(const JsonNode& document);
ServingScenario read_serving_scenario(const JsonNode& document,
                                      const std::filesystem::path& folder);

// The value at `pointer` below `root`, or nullptr where there is none.
const JsonNode* value_at(const JsonNode& root, const std::string& pointer);
// A value to be written, members sorted by key.
JsonValue canonical_value(const JsonNode& node);

}  // namespace moesim
