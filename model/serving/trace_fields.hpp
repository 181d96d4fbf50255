// The words of one line of a request trace: a row of CSV by its columns' names, or a flat JSON
// object. Every refusal names the line and the field.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/line_reader.hpp"
#include "model/units.hpp"

namespace moesim {

// Of an integer or decimal `text`, in units of `unit` ticks; "expected a time ..., found ...".
Tick tick_of(const LineReader& reader, const std::string& field, std::string_view text, Tick unit);
// A count of tokens, from 0 to a billion.
std::int32_t tokens_of(const LineReader& reader, const std::string& field, std::string_view text);
std::int64_t whole_of(const LineReader& reader, const std::string& field, std::string_view text);

// Text between commas, without blanks around it. No quotes: no published trace has any.
void split_row(std::string_view line, std::vector<std::string_view>& words);

// One object of a JSON lines file. Members come in the file's order; what nobody wants is skipped.
class JsonLine {
 public:
  explicit JsonLine(const LineReader& reader);
  bool next_key(std::string& key);  // false at the object's end, which must be the line's
  std::string_view number();        // its text; refuses other values
  std::string word();               // a string, or the text of a number
  void numbers(std::vector<std::int64_t>& values);  // a list of whole numbers of at least 0
  bool is_null();                   // steps over null
  void skip();                      // any value

 private:
  char peek();
  void expect(char c);
  void skip_string();
  [[noreturn]] void fail(const std::string& expected) const;

  const LineReader& reader_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::string key_;
  bool is_first_ = true;
};

}  // namespace moesim
