#include "calibrate/import/log_lines.hpp"

#include <algorithm>
#include <cctype>

#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/line_reader.hpp"

namespace moesim {
namespace {

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

std::string_view without_launcher(std::string_view line) {
  const std::size_t tag = line.find("]<std");
  if (line.substr(0, 1) == "[" && tag != std::string_view::npos) {
    const std::size_t end = line.find('>', tag);
    if (end != std::string_view::npos) {
      line.remove_prefix(end + 1);
      if (line.substr(0, 1) == ":") line.remove_prefix(1);
      return line;
    }
  }
  const auto* const begin = std::find_if(line.begin(), line.end(), [](char c) { return c != ' '; });
  const auto* const digits = std::find_if_not(begin, line.end(), is_digit);
  if (digits == begin || line.end() - digits < 2 || digits[0] != ':' || digits[1] != ' ')
    return line;
  return line.substr(static_cast<std::size_t>(digits - line.begin()) + 2);
}

}  // namespace

std::vector<LogLine> read_log(const std::filesystem::path& path) {
  const std::string bytes = read_bytes(path), name = one_line(path.string());
  if (bytes.empty()) throw InputError(name, "is empty");
  if (bytes.substr(0, 2) == "\x1f\x8b")
    throw InputError(name, "is compressed (gzip); expected plain text");
  std::vector<LogLine> lines;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = std::min(bytes.find('\n', at), bytes.size());
    std::string_view line = std::string_view(bytes).substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    lines.push_back(
        {static_cast<std::int64_t>(lines.size()) + 1, std::string(without_launcher(line))});
    at = end + 1;
  }
  return lines;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> found;
  for (std::size_t at = 0;;) {
    at = text.find_first_not_of(" \t", at);
    if (at == std::string_view::npos) return found;
    const std::size_t end = std::min(text.find_first_of(" \t", at), text.size());
    found.emplace_back(text.substr(at, end - at));
    at = end;
  }
}

}  // namespace moesim
