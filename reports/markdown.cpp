#include <algorithm>
#include <ostream>

#include "model/errors.hpp"
#include "reports/text_chart.hpp"
#include "reports/utf8.hpp"
#include "reports/writers.hpp"

namespace moesim {
namespace {

std::string escaped(const std::string& cell) {
  std::string text;
  for (const char c : cell) text += c == '|' ? std::string("\\|") : std::string(1, c);
  return text;
}

// Columns are padded, so that the table reads the same in a terminal.
void write_table(const Table& table, std::ostream& out) {
  if (!table.title.empty()) out << "**" << table.title << "**\n\n";
  std::vector<std::size_t> width;
  for (const std::string& column : table.columns)
    width.push_back(std::max<std::size_t>(3, display_width(escaped(column))));
  for (const auto& row : table.rows) {
    ENSURE(row.size() == width.size());
    for (std::size_t i = 0; i < row.size(); ++i)
      width[i] = std::max(width[i], display_width(escaped(row[i])));
  }
  auto write_row = [&](const std::vector<std::string>& cells) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string text = escaped(cells[i]);
      out << "| " << text << std::string(width[i] - display_width(text) + 1, ' ');
    }
    out << "|\n";
  };
  write_row(table.columns);
  for (const std::size_t w : width) out << '|' << std::string(w + 2, '-');
  out << "|\n";
  for (const auto& row : table.rows) write_row(row);
  out << '\n';
}

void write_chart(const Chart& chart, std::ostream& out) {
  out << "**" << chart.title << "**";
  if (!chart.summary.empty()) out << ": " << chart.summary;
  out << "\n\n```text\n";
  for (const std::string& line : text_chart(chart)) out << line << '\n';
  out << "```\n\n";
}

}  // namespace

void write_markdown(const Report& report, std::ostream& out) {
  out << "# " << report.title << "\n\n";
  for (const auto& [key, value] : report.facts) out << "- " << key << ": " << value << '\n';
  out << '\n';
  for (const std::string& warning : report.warnings) out << "> Warning: " << warning << "\n\n";
  for (const Section& section : report.sections) {
    out << "## " << section.title << "\n\n";
    for (const std::string& paragraph : section.paragraphs) out << paragraph << "\n\n";
    for (const Chart& chart : section.charts) write_chart(chart, out);
    for (const Table& table : section.tables) write_table(table, out);
    for (const std::string& note : section.notes) out << "- " << note << '\n';
    if (!section.notes.empty()) out << '\n';
  }
}

}  // namespace moesim
