#include "reports/tables.hpp"

#include <cctype>
#include <charconv>
#include <set>

namespace moesim {
namespace {

constexpr std::size_t kLongestName = 48;

// Letters and digits of ASCII, the rest as single hyphens.
std::string slug_of(const std::string& title) {
  std::string slug;
  for (const char c : title) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && std::isalnum(byte) != 0)
      slug += static_cast<char>(std::tolower(byte));
    else if (!slug.empty() && slug.back() != '-')
      slug += '-';
    if (slug.size() == kLongestName) break;
  }
  while (!slug.empty() && slug.back() == '-') slug.pop_back();
  return slug;
}

std::string csv_cell(const std::string& cell) {
  if (cell.find_first_of(",\"\r\n") == std::string::npos) return cell;
  std::string quoted = "\"";
  for (const char c : cell) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

JsonValue json_cell(const std::string& cell) {
  double value = 0;
  // "007" is a name.
  if (cell.size() > 1 && cell[0] == '0' && cell[1] != '.') return cell;
  const char* const end = cell.data() + cell.size();
  const auto [stopped, error] = std::from_chars(cell.data(), end, value);
  const bool is_number = error == std::errc() && stopped == end && value - value == 0;
  return is_number ? JsonValue(value) : JsonValue(cell);
}

}  // namespace

std::vector<NamedTable> tables_of(const Report& report) {
  std::vector<NamedTable> list;
  std::set<std::string> taken;
  for (std::size_t i = 0; i < report.sections.size(); ++i) {
    const Section& section = report.sections[i];
    const std::string number = (i < 9 ? "0" : "") + std::to_string(i + 1);
    const auto add = [&](Table table) {
      if (table.title.empty()) table.title = section.title;
      const std::string name = slug_of(table.title);
      const std::string base = number + (name.empty() ? "" : "-" + name);
      std::string slug = base;
      for (int k = 2; !taken.insert(slug).second; ++k) slug = base + "-" + std::to_string(k);
      list.push_back({slug, section.title, std::move(table)});
    };
    for (const Chart& chart : section.charts) add(table_of(chart));
    for (const Table& table : section.tables) add(table);
  }
  return list;
}

std::string csv_text(const Table& table) {
  std::string text;
  const auto add = [&text](const std::vector<std::string>& cells) {
    for (std::size_t i = 0; i < cells.size(); ++i) text += (i == 0 ? "" : ",") + csv_cell(cells[i]);
    text += '\n';
  };
  add(table.columns);
  for (const auto& row : table.rows) {
    ENSURE(row.size() == table.columns.size());
    add(row);
  }
  return text;
}

JsonValue tables_json(const Report& report) {
  JsonValue list = JsonValue::array();
  for (const NamedTable& named : tables_of(report)) {
    JsonValue columns = JsonValue::array(), rows = JsonValue::array();
    for (const std::string& column : named.table.columns) columns.push(column);
    for (const auto& row : named.table.rows) {
      JsonValue cells = JsonValue::array();
      for (const std::string& cell : row) cells.push(json_cell(cell));
      rows.push(std::move(cells));
    }
    JsonValue item = JsonValue::object().set("name", named.slug).set("section", named.section);
    item.set("title", named.table.title).set("columns", std::move(columns));
    list.push(item.set("rows", std::move(rows)));
  }
  return JsonValue::object().set("schema_version", 1).set("tables", std::move(list));
}

}  // namespace moesim
