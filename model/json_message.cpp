#include "model/json_message.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "model/json_writer.hpp"

namespace moesim {
namespace {

std::string escape_pointer_step(const std::string& key) {
  std::string step;
  for (const char c : key) {
    if (c == '~') {
      step += "~0";
    } else if (c == '/') {
      step += "~1";
    } else {
      step += c;
    }
  }
  return step;
}

// Levenshtein distance: insertions, deletions and replacements that turn `a` into `b`.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above + 1, row[j - 1] + 1, replaced});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// Cuts a pointer that would fill the screen, between characters.
std::string shortened(const std::string& pointer) {
  constexpr std::size_t kMaxPointer = 400, kEnd = 120;
  if (pointer.size() <= kMaxPointer) return pointer;
  std::size_t head = kMaxPointer - kEnd, tail = pointer.size() - kEnd;
  while (head > 0 && is_utf8_continuation(pointer[head])) --head;
  while (tail < pointer.size() && is_utf8_continuation(pointer[tail])) ++tail;
  return pointer.substr(0, head) + "..." + pointer.substr(tail);
}

// Known keys of an object, which may itself be the user's and hold thousands.
std::string listed(const std::vector<std::string>& keys) {
  constexpr std::size_t kMaxListed = 80;
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < keys.size() && i < kMaxListed; ++i) {
    shown.push_back(keys[i].size() <= kMaxQuoted ? one_line(keys[i]) : in_quotes(keys[i]));
  }
  return joined(shown) + (keys.size() > kMaxListed ? ", ..." : "");
}

}  // namespace

bool is_utf8_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

std::string in_quotes(const std::string& text) {
  if (text.size() <= kMaxQuoted) return JsonValue(text).dump_line();
  std::size_t cut = kMaxQuoted;
  while (cut > 0 && is_utf8_continuation(text[cut])) --cut;
  return JsonValue(text.substr(0, cut) + "...").dump_line();
}

std::string number_text(double value) {
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

std::string one_line(const std::string& text) {
  std::string line = text;
  for (char& c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) c = '?';
  }
  return line;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    if (!text.empty()) text += ", ";
    text += word;
  }
  return text;
}

std::string child_pointer(const std::string& parent, const std::string& key) {
  return parent + "/" + escape_pointer_step(key);
}

std::string place_of(const std::string& file, const std::string& pointer) {
  if (pointer.empty()) return one_line(file);
  return (file.empty() ? "" : one_line(file) + ": ") + one_line(shortened(pointer));
}

const std::string* nearest_word(const std::string& word,
                                const std::vector<std::string>& known,
                                std::size_t farthest) {
  const std::string* nearest = nullptr;
  std::size_t nearest_distance = farthest + 1;
  if (word.size() > kMaxQuoted) return nullptr;
  for (const std::string& candidate : known) {
    if (candidate.size() > 2 * kMaxQuoted) continue;
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < nearest_distance && distance < word.size()) {
      nearest = &candidate;
      nearest_distance = distance;
    }
  }
  return nearest;
}

std::string unknown_key(const std::string& key,
                        const std::vector<std::string>& known,
                        const std::string& where) {
  const std::string problem = "unknown key " + in_quotes(key) + where;
  // Two typing errors are still a typo, three are another word.
  if (const std::string* nearest = nearest_word(key, known, 2))
    return problem + "; did you mean " + in_quotes(*nearest) + "?";
  if (known.empty()) return problem + "; no key is known here";
  return problem + "; known: " + listed(known);
}

}  // namespace moesim
