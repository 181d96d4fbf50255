#include "model/named_file.hpp"

namespace moesim {

std::filesystem::path named_file(const JsonNode& name, const std::filesystem::path& folder) {
  const std::filesystem::path beside = (folder / name.text).lexically_normal();
  const bool is_typed = name.file != nullptr && name.file->rfind("--", 0) == 0;
  std::error_code error;
  if (is_typed && !std::filesystem::exists(beside, error) &&
      std::filesystem::exists(name.text, error))
    return std::filesystem::path(name.text).lexically_normal();
  return beside;
}

}  // namespace moesim
