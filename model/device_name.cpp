#include "model/device_name.hpp"

#include <algorithm>
#include <cctype>

namespace moesim {
namespace {

bool is_part(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

bool device_is_gpu(const std::string& device, const std::string& gpu) {
  const std::string name = upper(device);
  const std::string model =
      upper(std::string(gpu.begin(), std::find_if_not(gpu.begin(), gpu.end(), is_part)));
  for (std::size_t at = name.find(model); at != std::string::npos; at = name.find(model, at + 1)) {
    const std::size_t end = at + model.size();
    if ((at == 0 || !is_part(name[at - 1])) && (end == name.size() || !is_part(name[end])))
      return true;
  }
  return false;
}

}  // namespace moesim
