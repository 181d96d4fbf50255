#include "model/shipped_folder.hpp"

#include <cstdlib>

namespace moesim {

std::filesystem::path shipped_folder(const std::string& given, const char* built_from) {
  if (!given.empty()) return given;
  if (const char* folder = std::getenv("MOESIM_SCENARIOS"); folder != nullptr && *folder != '\0')
    return folder;
  std::error_code unknown;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", unknown);
  if (!unknown) {
    const auto installed = self.parent_path().parent_path() / "share" / "moesim" / "scenarios";
    if (std::filesystem::is_directory(installed, unknown)) return installed;
  }
  return built_from;
}

}  // namespace moesim
