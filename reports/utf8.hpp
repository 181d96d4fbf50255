// Text as code points, and how wide it stands in a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace moesim {

inline constexpr char32_t kReplacementCharacter = U'\uFFFD';

// The code point at `at`, which moves past it. A byte that starts no valid sequence (stray, cut
// short, overlong, a surrogate) is one U+FFFD.
char32_t next_code_point(std::string_view text, std::size_t& at);
void append_utf8(char32_t code_point, std::string& out);

// Columns of a terminal: none for combining marks, two for East Asian wide characters.
std::size_t display_width(std::string_view text);
// `text` filled with spaces to `width`, or cut with an ellipsis where it is wider.
std::string fitted(std::string_view text, std::size_t width);

}  // namespace moesim
