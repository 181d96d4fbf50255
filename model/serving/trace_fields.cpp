#include "model/serving/trace_fields.hpp"

#include <charconv>
#include <cmath>
#include <system_error>

#include "model/json_message.hpp"
#include "model/serving/arrival_process.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kMostTokens = 1'000'000'000;

std::string quoted(std::string_view text) { return in_quotes(std::string(text)); }

bool is_blank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

std::int64_t whole_of(const LineReader& reader, const std::string& field, std::string_view text) {
  std::int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) {
    reader.fail(field + ": " + quoted(text) + " is out of range");
  }
  if (error != std::errc() || stop != text.data() + text.size()) {
    reader.fail(field + ": expected a whole number, found " + quoted(text));
  }
  return value;
}

std::int32_t tokens_of(const LineReader& reader, const std::string& field, std::string_view text) {
  const std::int64_t value = whole_of(reader, field, text);
  if (value < 0 || value > kMostTokens) {
    reader.fail(field + ": expected 0 to " + std::to_string(kMostTokens) + " tokens, found " +
                std::to_string(value));
  }
  return static_cast<std::int32_t>(value);
}

Tick tick_of(const LineReader& reader, const std::string& field, std::string_view text, Tick unit) {
  const char* const end = text.data() + text.size();
  std::int64_t whole = 0;
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), end, whole);
  const bool is_whole = error == std::errc() && stop == end;
  if (is_whole) {
    value = static_cast<double>(whole);
  } else {
    const auto [real_stop, real_error] = std::from_chars(text.data(), end, value);
    const bool is_number = real_stop == end && !text.empty() && std::isfinite(value);
    if (real_error != std::errc() || !is_number) {
      reader.fail(field + ": expected a time as a number, found " + quoted(text));
    }
  }
  if (value < 0) reader.fail(field + ": expected a time of at least 0, found " + quoted(text));
  if (value * static_cast<double>(unit) >= static_cast<double>(kLastArrival)) {
    reader.fail(field + ": " + quoted(text) + " is past the 104 days that a trace may span");
  }
  return is_whole ? whole * unit : std::llround(value * static_cast<double>(unit));
}

void split_row(std::string_view line, std::vector<std::string_view>& words) {
  words.clear();
  for (;;) {
    const std::size_t comma = line.find(',');
    std::string_view word = line.substr(0, comma);
    while (!word.empty() && is_blank(word.front())) word.remove_prefix(1);
    while (!word.empty() && is_blank(word.back())) word.remove_suffix(1);
    words.push_back(word);
    if (comma == std::string_view::npos) return;
    line.remove_prefix(comma + 1);
  }
}

JsonLine::JsonLine(const LineReader& reader) : reader_(reader), text_(reader.rest()) {
  expect('{');
}

void JsonLine::fail(const std::string& expected) const {
  const std::string where = key_.empty() ? "" : key_ + ": ";
  reader_.fail(where + "expected " + expected + ", found " +
               (at_ < text_.size() ? quoted(text_.substr(at_, kMaxQuoted))
                                   : std::string("the end of the line")));
}

char JsonLine::peek() {
  while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

void JsonLine::expect(char c) {
  if (peek() != c) fail(in_quotes(std::string(1, c)));
  ++at_;
}

bool JsonLine::next_key(std::string& key) {
  key_.clear();
  if (peek() == '}') {
    ++at_;
    if (peek() != '\0') fail("the end of the line");
    return false;
  }
  if (!is_first_) expect(',');
  is_first_ = false;
  if (peek() != '"') fail("a key in quotes");
  const std::size_t begin = at_ + 1;
  skip_string();
  key.assign(text_.substr(begin, at_ - 1 - begin));
  expect(':');
  key_ = key;
  return true;
}

void JsonLine::skip_string() {
  for (++at_; at_ < text_.size(); ++at_) {
    if (text_[at_] == '\\') {
      ++at_;
    } else if (text_[at_] == '"') {
      ++at_;
      return;
    }
  }
  at_ = text_.size();
  fail("a closing quote");
}

std::string_view JsonLine::number() {
  const char first = peek();
  const std::size_t begin = at_;
  if (first != '-' && (first < '0' || first > '9')) fail("a number");
  const std::string_view digits = "+-.eE0123456789";
  while (at_ < text_.size() && digits.find(text_[at_]) != std::string_view::npos) ++at_;
  return text_.substr(begin, at_ - begin);
}

std::string JsonLine::word() {
  if (peek() != '"') return std::string(number());
  const std::size_t begin = at_ + 1;
  skip_string();
  return std::string(text_.substr(begin, at_ - 1 - begin));
}

void JsonLine::numbers(std::vector<std::int64_t>& values) {
  values.clear();
  expect('[');
  if (peek() == ']') {
    ++at_;
    return;
  }
  for (;;) {
    const std::size_t begin = at_;
    const std::int64_t value = whole_of(reader_, key_, number());
    if (value < 0) {
      at_ = begin;
      fail("whole numbers of at least 0");
    }
    values.push_back(value);
    if (peek() == ']') break;
    expect(',');
  }
  ++at_;
}

bool JsonLine::is_null() {
  peek();
  if (text_.substr(at_, 4) != "null") return false;
  at_ += 4;
  return true;
}

void JsonLine::skip() {
  const char first = peek();
  if (first == '"') {
    skip_string();
  } else if (first == '{' || first == '[') {
    // Brackets in strings do not count; which kind closes which is not ours to check.
    int depth = 0;
    do {
      const char c = peek();
      if (c == '\0') fail("a closing bracket");
      if (c == '"') {
        skip_string();
        continue;
      }
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
      ++at_;
    } while (depth > 0);
  } else {
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '}' && !is_blank(text_[at_])) {
      ++at_;
    }
    if (at_ == begin) fail("a value");
  }
}

}  // namespace moesim
