// Text files of a million short lines, such as recorded routing: read whole, scanned where they
// lie, because a tree of JSON nodes takes a hundred times the memory. What a line may hold is up to
// the caller; every refusal is an InputError with "file: line N: ...".
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace moesim {

// All bytes of a file. Refuses what is missing, a directory or unreadable.
std::string read_bytes(const std::filesystem::path& path);

class LineReader {
 public:
  explicit LineReader(const std::filesystem::path& path);  // refuses an empty file too
  LineReader(const std::filesystem::path& path, std::string text);  // what the file holds, unpacked

  bool next();                                 // to the next line; false at the end of the file
  std::int64_t line() const { return line_; }  // from 1
  // Whether a newline ends this line. Without one the file may have been cut off inside it.
  bool is_whole() const { return is_whole_; }

  bool take(std::string_view text);    // steps over `text` if it is next, after blanks
  void expect(std::string_view text);  // the same, refusing anything else
  std::int64_t count();                // steps over digits, refusing anything else
  void expect_end();                   // refuses what is left of the line
  std::string_view rest() const { return std::string_view(text_).substr(at_, end_ - at_); }

  const std::string& file() const { return file_; }  // as messages name it
  [[noreturn]] void fail(const std::string& problem) const;
  [[noreturn]] void fail_at(std::int64_t line, const std::string& problem) const;
  [[noreturn]] void fail_expected(const std::string& expected) const;  // ", found ..." follows

 private:
  void skip_blanks();
  std::string found() const;  // what stands here, in words

  std::string file_;
  std::string text_;
  std::size_t next_ = 0;  // where the next line begins
  std::size_t at_ = 0, end_ = 0;
  std::int64_t line_ = 0;
  bool is_whole_ = true;
};

}  // namespace moesim
