#include "reports/utf8.hpp"

#include <algorithm>
#include <array>

namespace moesim {
namespace {

struct Range {
  char32_t first, last;
};

bool in_one_of(char32_t c, const auto& ranges) {
  return std::any_of(
      ranges.begin(), ranges.end(), [c](Range r) { return c >= r.first && c <= r.last; });
}

std::size_t width_of(char32_t c) {
  // The blocks that a terminal does not give one column; emoji and rare scripts among them.
  static constexpr std::array kNone = {Range{0x300, 0x36F},
                                       Range{0x200B, 0x200F},
                                       Range{0x20D0, 0x20FF},
                                       Range{0xFE00, 0xFE0F},
                                       Range{0xFEFF, 0xFEFF}};
  static constexpr std::array kTwo = {Range{0x1100, 0x115F},
                                      Range{0x2E80, 0x303E},
                                      Range{0x3041, 0xA4CF},
                                      Range{0xAC00, 0xD7A3},
                                      Range{0xF900, 0xFAFF},
                                      Range{0xFE30, 0xFE6F},
                                      Range{0xFF00, 0xFF60},
                                      Range{0xFFE0, 0xFFE6},
                                      Range{0x1F300, 0x1FAFF},
                                      Range{0x20000, 0x3FFFD}};
  if (in_one_of(c, kNone)) return 0;
  return in_one_of(c, kTwo) ? 2 : 1;
}

}  // namespace

char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  const std::size_t begin = at++;
  if (lead < 0x80) return lead;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || begin + length > text.size()) return kReplacementCharacter;
  char32_t c = lead & (0x7FU >> length);
  for (std::size_t i = begin + 1; i < begin + length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return kReplacementCharacter;
    c = (c << 6U) | (byte(i) & 0x3FU);
  }
  static constexpr std::array<char32_t, 5> kLowest = {0, 0, 0x80, 0x800, 0x10000};
  if (c < kLowest[length] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
    return kReplacementCharacter;
  at = begin + length;
  return c;
}

void append_utf8(char32_t c, std::string& out) {
  const auto put = [&out](char32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6U));
    put(0x80 | (c & 0x3FU));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12U));
    put(0x80 | ((c >> 6U) & 0x3FU));
    put(0x80 | (c & 0x3FU));
  } else {
    put(0xF0 | (c >> 18U));
    put(0x80 | ((c >> 12U) & 0x3FU));
    put(0x80 | ((c >> 6U) & 0x3FU));
    put(0x80 | (c & 0x3FU));
  }
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) width += width_of(next_code_point(text, at));
  return width;
}

std::string fitted(std::string_view text, std::size_t width) {
  const std::size_t whole = display_width(text);
  if (whole <= width) return std::string(text) + std::string(width - whole, ' ');
  if (width == 0) return "";
  std::string out;
  std::size_t used = 0;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (used + width_of(c) + 1 > width) break;
    append_utf8(c, out);
    used += width_of(c);
  }
  return out + "…" + std::string(width - used - 1, ' ');
}

}  // namespace moesim
