// Where a file is that a scenario names.
#pragma once

#include <filesystem>

#include "model/json_reader.hpp"

namespace moesim {

// Beside the file that names it, in `folder`. A name typed on the command line (--set, --vary) is
// also looked for where the user is, when there is none beside the scenario.
std::filesystem::path named_file(const JsonNode& name, const std::filesystem::path& folder);

}  // namespace moesim
