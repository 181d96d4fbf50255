// Tests against real data read a folder that is not part of the repository. Where it is missing
// they say so, in a line that CTest counts as a skipped test:
//   const auto folder = reference_folder();
//   if (!folder) return;
#pragma once

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>

namespace moesim {

inline std::optional<std::filesystem::path> reference_folder() {
  const char* const folder = std::getenv("MOESIM_REFERENCE_DIR");
  if (folder != nullptr && std::filesystem::is_directory(folder)) return folder;
  std::cout << "SKIPPED: MOESIM_REFERENCE_DIR does not name the folder with the reference data\n";
  return std::nullopt;
}

}  // namespace moesim
