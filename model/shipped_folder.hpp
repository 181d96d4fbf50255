// Where the scenarios that come with the program are: for a reader who names a GPU and not its
// file.
#pragma once

#include <filesystem>
#include <string>

namespace moesim {

// `given` on the command line, else the environment's MOESIM_SCENARIOS, else share/moesim/scenarios
// of the folder whose bin/ the program runs from, else `built_from`: the sources' own folder.
// Installed files come before it, for the sources may be gone, or be a newer state.
std::filesystem::path shipped_folder(const std::string& given, const char* built_from);

}  // namespace moesim
