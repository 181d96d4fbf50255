#include "model/line_reader.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <system_error>
#include <utility>

#include "model/errors.hpp"
#include "model/json_message.hpp"

namespace moesim {

std::string read_bytes(const std::filesystem::path& path) {
  const auto refuse = [&](const std::string& why) {
    throw InputError(one_line(path.string()), "cannot be read: " + why);
  };
  if (path.string().find('\0') != std::string::npos) refuse("its name holds a NUL byte");
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) refuse("it is a directory");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) refuse(errno == ENOENT ? "no such file" : std::generic_category().message(errno));
  std::string bytes;
  std::array<char, 65536> buffer{};
  std::size_t num_read = 0;
  while ((num_read = std::fread(buffer.data(), 1, buffer.size(), file.get())) > 0) {
    bytes.append(buffer.data(), num_read);
  }
  if (std::ferror(file.get()) != 0) refuse(std::generic_category().message(errno));
  return bytes;
}

LineReader::LineReader(const std::filesystem::path& path)
    : LineReader(path, read_bytes(path)) {}

LineReader::LineReader(const std::filesystem::path& path, std::string text)
    : file_(one_line(path.string())), text_(std::move(text)) {
  if (text_.empty()) throw InputError(file_, "is empty");
}

bool LineReader::next() {
  if (next_ == text_.size()) return false;
  at_ = next_;
  const std::size_t newline = text_.find('\n', at_);
  is_whole_ = newline != std::string::npos;
  end_ = is_whole_ ? newline : text_.size();
  next_ = is_whole_ ? newline + 1 : text_.size();
  if (end_ > at_ && text_[end_ - 1] == '\r') --end_;
  ++line_;
  return true;
}

void LineReader::skip_blanks() {
  while (at_ < end_ && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
}

bool LineReader::take(std::string_view text) {
  skip_blanks();
  if (std::string_view(text_).substr(at_, end_ - at_).substr(0, text.size()) != text) return false;
  at_ += text.size();
  return true;
}

void LineReader::expect(std::string_view text) {
  if (!take(text)) fail_expected(in_quotes(std::string(text)));
}

std::int64_t LineReader::count() {
  skip_blanks();
  std::int64_t value = 0;
  const char* const begin = text_.data() + at_;
  const auto [stop, error] = std::from_chars(begin, text_.data() + end_, value);
  const bool is_digits = at_ < end_ && *begin >= '0' && *begin <= '9';
  if (!is_digits || error != std::errc()) {
    fail_expected("a whole number of at least 0");
  }
  at_ += static_cast<std::size_t>(stop - begin);
  return value;
}

void LineReader::expect_end() {
  skip_blanks();
  if (at_ < end_) fail_expected("the end of the line");
}

std::string LineReader::found() const {
  if (at_ < end_) return in_quotes(text_.substr(at_, std::min(end_ - at_, kMaxQuoted)));
  return is_whole_ ? "the end of the line" : "the end of the file";
}

void LineReader::fail(const std::string& problem) const {
  fail_at(line_, is_whole_ ? problem : problem + "; without a newline, the file may be cut off");
}

void LineReader::fail_at(std::int64_t line, const std::string& problem) const {
  throw InputError(file_ + ": line " + std::to_string(line), problem);
}

void LineReader::fail_expected(const std::string& expected) const {
  fail("expected " + expected + ", found " + found());
}

}  // namespace moesim
