// What `moesim run` would say of a point of a sweep, as far as a sweep keeps it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model/json_reader.hpp"
#include "reports/result.hpp"

namespace moesim {

struct PointResult {
  bool feasible = false;
  std::string reason;                // where it is not: of the first thing that is wrong
  std::vector<NamedNumber> metrics;  // as metrics_of names them
};

// Of a composed document of a scenario in `folder`. InputError where it cannot be read.
PointResult point_result(const JsonNode& document,
                         const std::filesystem::path& folder,
                         bool main_phase_only);

}  // namespace moesim
