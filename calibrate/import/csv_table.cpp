#include "calibrate/import/csv_table.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "calibrate/import/plain_number.hpp"
#include "model/errors.hpp"
#include "model/json_message.hpp"
#include "model/line_reader.hpp"

namespace moesim {
namespace {

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Takes one record at a time off the text of a file.
class RecordReader {
 public:
  RecordReader(const std::string& file, std::string_view text) : file_(file), text_(text) {}

  bool done() const { return at_ >= text_.size(); }
  std::int64_t line() const { return line_; }  // of the record that `next` will read

  // The fields of the record; empty for an empty line.
  std::vector<std::string> next() {
    std::vector<std::string> fields;
    if (take_line_end()) return fields;
    while (true) {
      fields.push_back(field());
      if (at_ < text_.size() && text_[at_] == ',') {
        ++at_;
        continue;
      }
      if (!done() && !take_line_end()) fail("a carriage return stands inside the line");
      if (fields.size() == 1 && fields[0].empty()) fields.clear();  // blanks alone
      return fields;
    }
  }

 private:
  bool take_line_end() {
    if (text_.substr(at_, 2) == "\r\n") {
      at_ += 2;
    } else if (at_ < text_.size() && text_[at_] == '\n') {
      ++at_;
    } else {
      return false;
    }
    ++line_;
    return true;
  }

  std::string field() {
    const std::size_t quote = text_.find_first_not_of(" \t", at_);
    if (quote != std::string_view::npos && text_[quote] == '"') return quoted_field(quote + 1);
    const std::size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
    const std::string_view plain = trimmed(text_.substr(at_, end - at_));
    if (plain.find('"') != std::string_view::npos) fail("a quote stands inside an unquoted field");
    at_ = end;
    return std::string(plain);
  }

  std::string quoted_field(std::size_t begin) {
    std::string value;
    std::int64_t line_breaks = 0;
    for (at_ = begin; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\n') ++line_breaks;
      if (text_[at_] != '"') {
        value += text_[at_];
      } else if (text_.substr(at_, 2) == "\"\"") {
        value += text_[at_++];
      } else {
        at_ = std::min(text_.find_first_not_of(" \t", at_ + 1), text_.size());
        if (!done() && text_[at_] != ',' && text_[at_] != '\r' && text_[at_] != '\n')
          fail("text follows the closing quote of a field");
        line_ += line_breaks;
        return value;
      }
    }
    fail("a quoted field is not closed before the end of the file");
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw InputError(file_ + ": line " + std::to_string(line_), why);
  }

  const std::string& file_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::int64_t line_ = 1;
};

void refuse_what_is_no_text(const std::string& file, std::string_view text) {
  if (text.substr(0, 2) == "\x1f\x8b")
    throw InputError(file, "is compressed (gzip); expected plain text");
  if (text.substr(0, 4) == "PAR1") throw InputError(file, "is a Parquet file; expected CSV text");
  if (text.find('\0') != std::string_view::npos)
    throw InputError(file, "holds NUL bytes; expected CSV text in UTF-8");
}

}  // namespace

CsvTable::CsvTable(const std::filesystem::path& path) : file_(one_line(path.string())) {
  const std::string bytes = read_bytes(path);
  std::string_view text = bytes;
  if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);
  refuse_what_is_no_text(file_, text);
  RecordReader reader(file_, text);
  while (columns_.empty() && !reader.done()) columns_ = reader.next();
  if (columns_.empty()) fail("is empty; expected a header line");
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (columns_[i].empty()) fail("column " + std::to_string(i + 1) + " has no name");
    if (!index_.emplace(columns_[i], i).second)
      fail("column " + in_quotes(columns_[i]) + " appears twice");
  }
  if (columns_.size() == 1 && columns_[0].find_first_of(";\t|") != std::string::npos)
    fail("has another separator than commas in its header");
  while (!reader.done()) {
    Row row{reader.line(), reader.next()};
    if (row.fields.empty()) continue;
    if (row.fields.size() != columns_.size())
      throw InputError(file_ + ": line " + std::to_string(row.line),
                       "has " + std::to_string(row.fields.size()) + " fields; expected " +
                           std::to_string(columns_.size()) + " as in the header");
    rows_.push_back(std::move(row));
  }
  if (rows_.empty()) fail("has a header and no rows");
}

bool CsvTable::has(std::string_view column) const { return index_.find(column) != index_.end(); }

void CsvTable::require(std::initializer_list<std::string_view> columns) const {
  for (const std::string_view column : columns)
    if (!has(column))
      fail("missing column " + in_quotes(std::string(column)) + "; found: " + joined(columns_));
}

std::string CsvTable::one_of(std::initializer_list<std::string_view> columns) const {
  std::string found;
  std::vector<std::string> known;
  for (const std::string_view column : columns) {
    known.push_back(in_quotes(std::string(column)));
    if (!has(column)) continue;
    if (!found.empty())
      fail("has columns " + in_quotes(found) + " and " + known.back() + "; expected one of them");
    found = column;
  }
  if (found.empty())
    fail("missing column " + (known.size() == 1 ? known[0] : "of " + joined(known)) +
         "; found: " + joined(columns_));
  return found;
}

void CsvTable::keep(const std::vector<std::pair<std::string, std::string>>& only) {
  std::map<std::size_t, std::vector<std::string>> wanted;
  for (const auto& [column, value] : only) {
    const auto it = index_.find(column);
    if (it == index_.end())
      throw InputError("--only " + one_line(column) + "=" + one_line(value),
                       file_ + " has no such column; found: " + joined(columns_));
    const auto has_value = [&](const Row& row) { return row.fields[it->second] == value; };
    if (std::none_of(rows_.begin(), rows_.end(), has_value))
      throw InputError(
          "--only " + one_line(column) + "=" + one_line(value),
          "no row of " + file_ + " has this value; found: " + joined(values(column, 8)));
    wanted[it->second].push_back(value);
  }
  std::erase_if(rows_, [&](const Row& row) {
    return std::any_of(wanted.begin(), wanted.end(), [&](const auto& entry) {
      const auto& [column, known] = entry;
      return std::find(known.begin(), known.end(), row.fields[column]) == known.end();
    });
  });
  if (rows_.empty()) throw InputError("--only", "no row of " + file_ + " has all of these values");
}

std::size_t CsvTable::index(std::string_view column) const {
  const auto it = index_.find(column);
  ENSURE(it != index_.end());
  return it->second;
}

std::string CsvTable::place(std::size_t row) const {
  return file_ + ": line " + std::to_string(rows_.at(row).line);
}

const std::string& CsvTable::text(std::size_t row, std::string_view column) const {
  return rows_.at(row).fields[index(column)];
}

double CsvTable::number(std::size_t row, std::string_view column) const {
  const std::string& field = text(row, column);
  const auto value = plain_number(field);
  if (!value) fail(row, column, "expected a number, found " + in_quotes(field));
  return *value;
}

std::int64_t CsvTable::integer(std::size_t row,
                               std::string_view column,
                               std::int64_t lowest,
                               std::int64_t highest) const {
  // Tools write counts as "128.0" once a cell of their column was empty.
  const double value = number(row, column);
  if (value != std::floor(value) || value < static_cast<double>(lowest) ||
      value > static_cast<double>(highest))
    fail(row,
         column,
         "expected an integer from " + std::to_string(lowest) + " to " + std::to_string(highest) +
             ", found " + in_quotes(text(row, column)));
  return static_cast<std::int64_t>(value);
}

std::vector<std::string> CsvTable::values(std::string_view column, std::size_t most) const {
  std::vector<std::string> found;
  for (const Row& row : rows_) {
    const std::string& value = row.fields[index(column)];
    if (std::find(found.begin(), found.end(), value) != found.end()) continue;
    found.push_back(value);
    if (found.size() == most) break;
  }
  return found;
}

void CsvTable::fail(std::size_t row, std::string_view column, const std::string& why) const {
  throw InputError(place(row), "column " + in_quotes(std::string(column)) + ": " + why);
}

void CsvTable::fail(const std::string& why) const { throw InputError(file_, why); }

std::optional<TimeColumn> find_time_column(const CsvTable& table,
                                           const std::string& stem,
                                           std::optional<Seconds> unit_of_bare) {
  constexpr std::array<std::pair<const char*, Seconds>, 4> kUnits = {
      {{"us", us}, {"ms", ms}, {"ns", ns}, {"s", s}}};
  std::optional<TimeColumn> found;
  const auto consider = [&](const std::string& name, Seconds unit) {
    if (!table.has(name)) return;
    if (found)
      table.fail("has columns " + in_quotes(found->name) + " and " + in_quotes(name) +
                 ", two units for one time; expected one of them");
    found = TimeColumn{name, unit};
  };
  for (const auto& [suffix, unit] : kUnits)
    consider(stem.empty() ? suffix : stem + "_" + suffix, unit);
  if (unit_of_bare && !stem.empty()) consider(stem, *unit_of_bare);
  return found;
}

TimeColumn time_column(const CsvTable& table,
                       const std::string& stem,
                       std::optional<Seconds> unit_of_bare) {
  const auto found = find_time_column(table, stem, unit_of_bare);
  const std::string name = stem.empty() ? "us" : stem + "_us";
  if (!found)
    table.fail("missing column " + in_quotes(name) + "; found: " + joined(table.columns()));
  return *found;
}

}  // namespace moesim
