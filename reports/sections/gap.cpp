#include <cmath>

#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {

// Takes a published whole apart into its published parts: what is missing in each, and what is
// known about it.
std::optional<Section> gap_section(const ReportInput& input) {
  Section section;
  section.title = "What separates the prediction from the measurement";
  for (const KnownRow& whole : input.known) {
    Table table{whole.figure.id + ", " + whole.figure.quantity + " in " + whole.figure.unit,
                {"part", "known", "predicted", "missing", "what is known about it"},
                {}};
    double known = 0, predicted = 0;
    const double noise =
        1e-9 * std::abs(whole.figure.known);  // differences of sums: below this they are rounding
    auto number = [&](double v) { return digits4(std::abs(v) < noise ? 0 : v); };
    auto add = [&](const std::string& name, double k, double p, const std::string& note) {
      table.rows.push_back({name, number(k), number(p), number(k - p), note});
    };
    for (const KnownRow& part : input.known) {
      if (part.figure.part_of != whole.figure.id || !part.predicted) continue;
      add(part.figure.quantity, part.figure.known, *part.predicted, part.figure.note);
      known += part.figure.known;
      predicted += *part.predicted;
    }
    if (table.rows.empty() || !whole.predicted) continue;
    const double rest = whole.figure.known - known;
    add("not in any part",
        rest,
        *whole.predicted - predicted,
        "the published parts add up to " + digits4(known) + ", the whole is " +
            digits4(whole.figure.known));
    add("whole", whole.figure.known, *whole.predicted, "");
    section.tables.push_back(std::move(table));
  }
  if (section.tables.empty()) return std::nullopt;
  return section;
}

}  // namespace moesim
