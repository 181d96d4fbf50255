// Every table of a report by name, its charts' numbers among them: what is written as files for
// other programs.
#pragma once

#include <string>
#include <vector>

#include "model/json_writer.hpp"
#include "reports/report.hpp"

namespace moesim {

struct NamedTable {
  std::string slug;     // "03-where-the-step-goes": a file's name, unique in the report
  std::string section;  // its title
  Table table;          // titled
};

// By section: charts, then tables.
std::vector<NamedTable> tables_of(const Report& report);

// RFC 4180, with plain line feeds: cells with commas, quotes or line breaks stand in quotes.
std::string csv_text(const Table& table);
// {"schema_version": 1, "tables": [{"name", "section", "title", "columns", "rows"}]}; cells are
// text as printed, and numbers where they are nothing but a number.
JsonValue tables_json(const Report& report);

}  // namespace moesim
