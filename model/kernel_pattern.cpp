#include "model/kernel_pattern.hpp"

#include "model/json_message.hpp"

namespace moesim {
namespace {

// The library's matcher recurses once a character; templates make names of tens of thousands.
constexpr std::size_t kLongestMatched = 4096;

}  // namespace

bool KernelPattern::matches_name(const std::string& name) const {
  if (!expression) return name.find(text) != std::string::npos;
  return std::regex_search(name.substr(0, kLongestMatched), *expression);
}

KernelPattern read_kernel_pattern(ObjectReader& line) {
  KernelPattern pattern;
  pattern.text = line.text("kernel");
  if (pattern.text.empty()) line.fail("kernel", "is empty; expected part of a kernel's name");
  if (pattern.text.size() > 2 && pattern.text.front() == '/' && pattern.text.back() == '/') {
    try {
      pattern.expression = std::regex(pattern.text.substr(1, pattern.text.size() - 2),
                                      std::regex::ECMAScript | std::regex::optimize);
    } catch (const std::regex_error& error) {
      line.fail("kernel", "is no regular expression: " + one_line(error.what()));
    }
  }
  if (line.has("grid")) {
    const auto grid = line.integer_list("grid", 1, std::int64_t{1} << 31);
    if (grid.size() != 3) line.fail("grid", "expected three numbers, x, y and z");
    pattern.grid = {grid[0], grid[1], grid[2]};
  }
  return pattern;
}

}  // namespace moesim
