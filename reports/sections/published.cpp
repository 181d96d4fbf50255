#include <algorithm>
#include <cmath>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

// Whole numbers that fit a table are printed in full: 70272 is the figure, not 70270.
std::string figure(double value) {
  return value == std::round(value) && std::abs(value) < 1e7 ? std::to_string(std::llround(value))
                                                             : digits4(value);
}

}  // namespace

std::string known_legend() {
  return "Role: `definition` is arithmetic on published facts, `fit` was used to build the "
         "profile, `held_out` was not. The interval is what the calibration's own errors do to the "
         "prediction, where they do anything.";
}

Table known_table(const std::vector<KnownRow>& rows) {
  Table table{
      "", {"row", "quantity", "unit", "known", "predicted", "90 % interval", "error", "role"}, {}};
  for (const KnownRow& row : rows) {
    const KnownFigure& f = row.figure;
    std::string error = row.error_pct ? format_signed_percent(*row.error_pct) : "";
    if (!row.within_tolerance) error += " (past " + digits4(f.tolerance_pct) + " %)";
    table.rows.push_back(
        {f.id,
         f.quantity,
         f.unit,
         figure(f.known),
         row.predicted ? figure(*row.predicted) : "not predicted",
         row.interval ? digits4(row.interval->low) + " to " + digits4(row.interval->high) : "",
         error,
         role_name(f.role)});
  }
  return table;
}

std::optional<Section> published_section(const std::vector<KnownRow>& known) {
  if (known.empty()) return std::nullopt;
  Section section;
  section.title = "Next to published figures";
  section.paragraphs.push_back(known_legend());
  section.tables.push_back(known_table(known));
  std::vector<std::string> said;
  for (const KnownRow& row : known) {
    const std::string& note = row.figure.note;
    if (note.empty() || !row.figure.part_of.empty() ||
        std::find(said.begin(), said.end(), note) != said.end())
      continue;
    said.push_back(note);
    section.notes.push_back(row.figure.id + ": " + note);
  }
  return section;
}

std::optional<Section> published_section(const ReportInput& input) {
  return published_section(input.known);
}

}  // namespace moesim
