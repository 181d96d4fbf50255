// A table in comma-separated values with a header line (RFC 4180), read strictly: quoted fields,
// CRLF, a byte-order mark and empty lines are understood; a line with a field too many or too few,
// a column that appears twice, text after a closing quote and an open quote are refused with file
// and line. Blanks around an unquoted field do not count.
//
// Left out: other separators (refused, named) and comments. Every number is a plain decimal.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/units.hpp"

namespace moesim {

class CsvTable {
 public:
  explicit CsvTable(const std::filesystem::path& path);

  const std::string& file() const { return file_; }
  const std::vector<std::string>& columns() const { return columns_; }
  std::size_t size() const { return rows_.size(); }  // without the header
  bool has(std::string_view column) const;
  void require(std::initializer_list<std::string_view> columns) const;  // names what is missing
  // The first of these names that the table has; refuses a table with none of them, or with two.
  std::string one_of(std::initializer_list<std::string_view> columns) const;

  // Keeps the rows that have, in each named column, one of the values given for it. Refuses an
  // unknown column and a value that no row has.
  void keep(const std::vector<std::pair<std::string, std::string>>& only);

  std::string place(std::size_t row) const;  // "file: line 12"
  const std::string& text(std::size_t row, std::string_view column) const;
  std::int64_t integer(std::size_t row,
                       std::string_view column,
                       std::int64_t lowest = 1,
                       std::int64_t highest = std::int64_t{1} << 40) const;
  double number(std::size_t row, std::string_view column) const;
  // Different values of a column, in order of appearance, at most `most`.
  std::vector<std::string> values(std::string_view column, std::size_t most) const;

  [[noreturn]] void fail(std::size_t row, std::string_view column, const std::string& why) const;
  [[noreturn]] void fail(const std::string& why) const;  // of the table as a whole

 private:
  struct Row {
    std::int64_t line;
    std::vector<std::string> fields;
  };
  std::size_t index(std::string_view column) const;

  std::string file_;
  std::vector<std::string> columns_;
  std::map<std::string, std::size_t, std::less<>> index_;
  std::vector<Row> rows_;
};

// A column of times and its unit, which its name ends in: with the stem "latency", "latency_us" or
// "latency_ms"; with an empty stem, "us" or "ms". A bare "latency" needs a unit that its format
// fixes. Refuses two of them in one table, where nobody knows which was meant.
struct TimeColumn {
  std::string name;
  Seconds unit;
};
TimeColumn time_column(const CsvTable& table,
                       const std::string& stem,
                       std::optional<Seconds> unit_of_bare = std::nullopt);
std::optional<TimeColumn> find_time_column(const CsvTable& table,
                                           const std::string& stem,
                                           std::optional<Seconds> unit_of_bare = std::nullopt);

}  // namespace moesim
