// Kernels laid beside the list they should follow.
#include <algorithm>
#include <string>

#include "model/launch_alignment.hpp"
#include "model/random.hpp"
#include "tests/catch.hpp"

using namespace moesim;

namespace {

// Lines are letters, a capital repeats; kernels are letters. The result has each kernel's line
// number, or "-".
std::string aligned(const std::string& lines, const std::string& kernels) {
  std::vector<bool> repeats;
  for (const char line : lines) repeats.push_back(line < 'a');
  const auto line_of =
      align_launches(repeats, kernels.size(), [&](std::size_t line, std::size_t kernel) {
        return (lines[line] | 32) == kernels[kernel];
      });
  std::string text;
  for (const auto& line : line_of) text += line ? std::to_string(*line) : "-";
  return text;
}

// The most kernels that can have a line, by trying everything.
int most(const std::string& lines, const std::string& kernels, std::size_t line, std::size_t k) {
  if (line == lines.size() || k == kernels.size()) return 0;
  int best = std::max(most(lines, kernels, line + 1, k), most(lines, kernels, line, k + 1));
  if ((lines[line] | 32) == kernels[k])
    best = std::max(best, 1 + most(lines, kernels, line + (lines[line] < 'a' ? 0 : 1), k + 1));
  return best;
}

}  // namespace

TEST_CASE("launch alignment: what is there is found, what is not costs nothing else", "[trace]") {
  CHECK(aligned("abc", "abc") == "012");
  CHECK(aligned("abc", "axbc") == "0-12");  // one more
  CHECK(aligned("abc", "ac") == "02");      // one less
  CHECK(aligned("aba", "aba") == "012");
  CHECK(aligned("abcd", "abxcd") == "01-23");
  CHECK(aligned("abcab", "cab") == "234");  // not the first a and b
  CHECK(aligned("abc", "").empty());
  CHECK(aligned("", "ab") == "--");
  CHECK(aligned("ab", "ba") == "1-");  // as many either way: the kernel that came first
}

TEST_CASE("launch alignment: a line that repeats takes what no other line wants", "[trace]") {
  CHECK(aligned("Ab", "aaab") == "0001");
  CHECK(aligned("Ab", "axab") == "0-01");
  CHECK(aligned("Aa", "aaa") == "001");  // the last kernel for the line of its own
  CHECK(aligned("aAa", "aaaa") == "0112");
  CHECK(aligned("AbA", "aabaa") == "00122");
  CHECK(aligned("Ab", "b") == "1");
}

TEST_CASE("launch alignment: as many kernels as trying everything finds", "[trace]") {
  Random random(7);
  const auto word = [&](std::size_t longest, const std::string& letters) {
    std::string text;
    const auto length = static_cast<std::size_t>(random.uniform() * static_cast<double>(longest));
    for (std::size_t i = 0; i < length; ++i)
      text +=
          letters[static_cast<std::size_t>(random.uniform() * static_cast<double>(letters.size()))];
    return text;
  };
  for (int i = 0; i < 300; ++i) {
    const std::string lines = word(8, "abcAB"), kernels = word(9, "abc");
    const std::string found = aligned(lines, kernels);
    CAPTURE(lines, kernels, found);
    CHECK(std::count_if(found.begin(), found.end(), [](char c) { return c != '-'; }) ==
          most(lines, kernels, 0, 0));
    char last = '0';
    for (const char line : found) {
      if (line == '-') continue;
      const auto index = static_cast<std::size_t>(line - '0');
      CHECK(line >= last);
      CHECK((line > last || index == 0 || lines[index] < 'a'));
      last = line;
    }
  }
}
