// How a message about the user's input is worded: places, quoted values, lists, unknown keys with
// the nearest known one. Every text comes out on one line, whatever the user wrote. For the files
// that read input, and no others.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace moesim {

// Longer strings are cut in messages, which must stay readable on one line.
inline constexpr std::size_t kMaxQuoted = 60;

bool is_utf8_continuation(char c);
// As a JSON string, cut when long.
std::string in_quotes(const std::string& text);
// Shortest text that reads back; no ".0" on whole numbers, because it stands in sentences.
std::string number_text(double value);
// Names (of models, GPUs, files) without quotes; control characters become "?".
std::string one_line(const std::string& text);
std::string joined(const std::vector<std::string>& words);

std::string child_pointer(const std::string& parent, const std::string& key);
// "file: /pointer"; a pointer of many long keys is cut in the middle.
std::string place_of(const std::string& file, const std::string& pointer);

// The word that is fewest typing errors away from `word`, at most `farthest` of them; nullptr when
// there is none.
const std::string* nearest_word(const std::string& word,
                                const std::vector<std::string>& known,
                                std::size_t farthest);
// `where` is " in /plan", or empty where the place already says it.
std::string unknown_key(const std::string& key,
                        const std::vector<std::string>& known,
                        const std::string& where = "");

}  // namespace moesim
