#include "reports/html/escape.hpp"

#include <array>
#include <cstdint>

#include "model/errors.hpp"
#include "reports/utf8.hpp"

namespace moesim {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

unsigned hex_digit(char c) {
  ENSURE((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
  return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
}

// Replaces every pair of `mark`s in escaped text by an element; a mark without a partner stays.
std::string with_elements(const std::string& text, std::string_view mark, std::string_view name) {
  std::string out;
  std::size_t done = 0;
  while (true) {
    const std::size_t open = text.find(mark, done);
    if (open == std::string::npos) break;
    const std::size_t inside = open + mark.size(), close = text.find(mark, inside);
    if (close == std::string::npos) break;
    const std::string_view content = std::string_view(text).substr(inside, close - inside);
    // "2 ** 3" is a power, and nothing is nothing.
    if (content.empty() || content.front() == ' ' || content.back() == ' ') {
      out.append(text, done, inside - done);
      done = inside;
      continue;
    }
    out.append(text, done, open - done);
    out.append("<").append(name).append(">").append(content);
    out.append("</").append(name).append(">");
    done = close + mark.size();
  }
  return out.append(text, done);
}

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    switch (c) {
      case U'<': out += "&lt;"; break;
      case U'>': out += "&gt;"; break;
      case U'&': out += "&amp;"; break;
      case U'"': out += "&quot;"; break;
      case U'\'': out += "&#39;"; break;
      default: {
        const bool control = (c < 0x20 && c != U'\n' && c != U'\t') || (c >= 0x7F && c < 0xA0);
        append_utf8(control ? kReplacementCharacter : c, out);
      }
    }
  }
  return out;
}

std::string html_inline(std::string_view text) {
  return with_elements(with_elements(html_escaped(text), "`", "code"), "**", "strong");
}

std::string script_json(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (std::size_t at = 0; at < json.size();) {
    const char32_t c = next_code_point(json, at);
    switch (c) {  // all of these can only stand inside a string, where an escape means the same
      case U'<': out += "\\u003c"; break;
      case U'>': out += "\\u003e"; break;
      case U'&': out += "\\u0026"; break;
      case U'\u2028': out += "\\u2028"; break;
      case U'\u2029': out += "\\u2029"; break;
      default: append_utf8(c, out);
    }
  }
  return out;
}

std::string csp_hash(std::string_view sha256_hex) {
  ENSURE(sha256_hex.size() == 64);
  std::array<std::uint8_t, 33> bytes{};  // 32 and a zero that fills the last group of three
  for (std::size_t i = 0; i < 32; ++i)
    bytes[i] = static_cast<std::uint8_t>(16 * hex_digit(sha256_hex[2 * i]) +
                                         hex_digit(sha256_hex[2 * i + 1]));
  std::string out = "sha256-";
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const unsigned group = (bytes[i] << 16U) | (bytes[i + 1] << 8U) | bytes[i + 2];
    for (unsigned shift : {18U, 12U, 6U, 0U}) out += kBase64[(group >> shift) & 63U];
  }
  out.back() = '=';
  return out;
}

}  // namespace moesim
