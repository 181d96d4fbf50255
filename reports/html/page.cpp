// The report as one HTML file: nothing is loaded, so it opens offline and from a mail. Its security
// policy lets only the style and the scripts run that were built into this program, by their
// hashes; text from scenarios is escaped and chart data is JSON that no one executes. Without
// JavaScript, or built without npm, all numbers are there: each chart has its table.
#include <algorithm>
#include <cctype>
#include <ostream>

#include "model/errors.hpp"
#include "reports/html/assets.hpp"
#include "reports/html/chart_data.hpp"
#include "reports/html/escape.hpp"
#include "reports/tables.hpp"
#include "reports/utf8.hpp"
#include "reports/writers.hpp"

namespace moesim {
namespace {

// A heatmap of all experts has more cells than a reader reads; they are in the table's file.
constexpr std::size_t kCellsOfATable = 8000;

// "17.92 s", "-0.15 %", "$5.576 M", "117.9 to 142.5", "24.45 GB of 85.47 GB".
bool is_number(std::string_view cell) {
  std::size_t at = 0;
  while (at < cell.size() && std::string_view("+-~<>=$ ").find(cell[at]) != std::string_view::npos)
    ++at;
  return at < cell.size() && std::isdigit(static_cast<unsigned char>(cell[at])) != 0 &&
         cell.size() <= 32;
}

std::vector<bool> numeric_columns(const Table& table) {
  std::vector<bool> numeric(table.columns.size());
  for (std::size_t i = 0; i < numeric.size(); ++i) {
    const auto fits = [i](const auto& row) { return row[i].empty() || is_number(row[i]); };
    const auto has_one = [i](const auto& row) { return is_number(row[i]); };
    numeric[i] = std::all_of(table.rows.begin(), table.rows.end(), fits) &&
                 std::any_of(table.rows.begin(), table.rows.end(), has_one);
  }
  return numeric;
}

class Page {
 public:
  Page(const Report& report, std::ostream& out)
      : report_(report), out_(out), tables_(tables_of(report)) {}

  void write() {
    write_head();
    out_ << "<body>\n<a class=\"skip\" href=\"#report\">Skip to the report</a>\n"
            "<div class=\"frame\">\n";
    write_header();
    write_warnings();
    write_contents();
    out_ << "<main id=\"report\" tabindex=\"-1\">\n";
    for (std::size_t i = 0; i < report_.sections.size(); ++i) write_section(i);
    out_ << "</main>\n<footer><p>Written by moesim. ";
    if (!has_charts() && num_figures_ > 0)
      out_ << "This moesim was built without npm: charts are given as tables only. ";
    out_ << "Every table is also a CSV file beside this page.</p></footer>\n</div>\n";
    if (has_charts() && num_figures_ > 0)
      out_ << "<script>" << chart_script().text << "</script>\n";
    out_ << "</body>\n</html>\n";
  }

 private:
  static bool has_charts() { return !chart_script().text.empty(); }

  void write_head() {
    out_ << "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         << "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '"
         << csp_hash(page_style().sha256_hex) << "'; script-src '"
         << csp_hash(theme_script().sha256_hex) << "'";
    if (has_charts()) out_ << " '" << csp_hash(chart_script().sha256_hex) << "'";
    // 'none' for base and forms too, which default-src does not cover.
    out_ << "; base-uri 'none'; form-action 'none'\">\n"
         << "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         << "<meta name=\"color-scheme\" content=\"light dark\">\n<title>"
         << html_escaped(report_.title) << " - moesim</title>\n<style>" << page_style().text
         << "</style>\n<script>" << theme_script().text << "</script>\n</head>\n";
  }

  void write_header() {
    out_ << "<header>\n<div>\n<h1>" << html_inline(report_.title) << "</h1>\n";
    if (!report_.facts.empty()) {
      out_ << "<dl class=\"facts\">\n";
      for (const auto& [name, value] : report_.facts)
        out_ << "<dt>" << html_escaped(name) << "</dt><dd>" << html_inline(value) << "</dd>\n";
      out_ << "</dl>\n";
    }
    out_ << "</div>\n<button id=\"theme\" type=\"button\" aria-pressed=\"false\" hidden>"
            "Dark theme</button>\n</header>\n";
  }

  void write_warnings() {
    if (report_.warnings.empty()) return;
    out_ << "<div class=\"warnings\" role=\"region\" aria-labelledby=\"warnings\">\n"
         << "<h2 id=\"warnings\">" << (report_.warnings.size() == 1 ? "Warning" : "Warnings")
         << "</h2>\n<ul>\n";
    for (const std::string& warning : report_.warnings)
      out_ << "<li>" << html_inline(warning) << "</li>\n";
    out_ << "</ul>\n</div>\n";
  }

  void write_contents() {
    out_ << "<nav aria-labelledby=\"contents\">\n<h2 id=\"contents\">Contents</h2>\n<ol>\n";
    for (std::size_t i = 0; i < report_.sections.size(); ++i)
      out_ << "<li><a href=\"#section-" << i + 1 << "\">" << html_inline(report_.sections[i].title)
           << "</a></li>\n";
    out_ << "</ol>\n</nav>\n";
  }

  void write_section(std::size_t i) {
    const Section& section = report_.sections[i];
    out_ << "<section id=\"section-" << i + 1 << "\" aria-labelledby=\"title-" << i + 1 << '"'
         << (i == 0 ? " class=\"verdict\"" : "") << ">\n<h2 id=\"title-" << i + 1 << "\">"
         << html_inline(section.title) << "</h2>\n";
    for (const std::string& paragraph : section.paragraphs)
      out_ << "<p>" << html_inline(paragraph) << "</p>\n";
    // The first section is the verdict: its pairs of name and value are what a reader came for.
    const auto is_tiles = [&](const Table& table) { return i == 0 && table.columns.size() == 2; };
    for (const Table& table : section.tables)
      if (is_tiles(table)) write_tiles(table);
    for (const Chart& chart : section.charts) write_figure(chart);
    for (const Table& table : section.tables) {
      if (is_tiles(table))
        ++num_tables_;
      else
        write_table(table, section.title);
    }
    if (!section.notes.empty()) {
      out_ << "<ul class=\"notes\">\n";
      for (const std::string& note : section.notes)
        out_ << "<li>" << html_inline(note) << "</li>\n";
      out_ << "</ul>\n";
    }
    out_ << "</section>\n";
  }

  void write_tiles(const Table& table) {
    out_ << "<dl class=\"tiles\">\n";
    for (const auto& row : table.rows) {
      ENSURE(row.size() == 2);
      // The value, and smaller what is said about it: "18.2 kW (17.1 to 19.9)", "$35 K at $3 an
      // hour".
      std::size_t end = row[1].size();
      for (const char* mark : {" (", ": ", "; ", ", ", " at "})
        end = std::min(end, row[1].find(mark));
      const std::string value = row[1].substr(0, end);
      const std::size_t rest = row[1].find_first_not_of(":;, ", end);
      out_ << "<div><dt>" << html_inline(row[0]) << "</dt><dd"
           << (display_width(value) > 22 ? " class=\"long\"" : "") << '>' << html_inline(value);
      if (rest != std::string::npos)
        out_ << " <span>" << html_inline(row[1].substr(rest)) << "</span>";
      out_ << "</dd></div>\n";
    }
    out_ << "</dl>\n";
  }

  void write_figure(const Chart& chart) {
    const std::string id = "figure-" + std::to_string(++num_figures_);
    const bool zooms = std::holds_alternative<TimelineChart>(chart.body);
    out_ << "<figure" << (has_charts() ? " class=\"chart\"" : "") << " id=\"" << id
         << "\" aria-labelledby=\"" << id << "-title\">\n<figcaption id=\"" << id
         << "-title\"><strong>" << html_inline(chart.title) << "</strong> <span>"
         << html_inline(chart.summary) << "</span></figcaption>\n";
    if (has_charts()) {
      const std::string label =
          html_escaped(chart.title + ". " + chart.summary + (zooms ? kZoomKeys : ""));
      out_ << "<div class=\"plot\" "
           << (zooms ? "role=\"application\" tabindex=\"0\"" : "role=\"img\"") << " aria-label=\""
           << label << "\"></div>\n";
      if (zooms) out_ << "<p class=\"hint\">" << kZoomHint << "</p>\n";
      out_ << "<script type=\"application/json\">" << script_json(chart_data(chart).dump_line())
           << "</script>\n";
    }
    out_ << "<details" << (has_charts() ? "" : " open") << "><summary>Numbers of this chart"
         << "<span class=\"quiet\">: " << html_escaped(chart.title) << "</span></summary>\n";
    write_table(table_of(chart), chart.title);
    out_ << "</details>\n</figure>\n";
  }

  void write_table(const Table& table, const std::string& of) {
    ENSURE(num_tables_ < tables_.size());
    const std::string& file = tables_[num_tables_++].slug;
    const std::vector<bool> numeric = numeric_columns(table);
    // Most tables are a name and numbers; one class for all of those keeps large ones small.
    const bool all_after_first =
        numeric.size() > 1 &&
        std::all_of(numeric.begin() + 1, numeric.end(), [](bool is) { return is; });
    const auto align = [&](std::size_t i) {
      return numeric[i] && (i == 0 || !all_after_first) ? " class=n" : "";
    };
    const bool titled = !table.title.empty() && table.title != of;
    if (titled) out_ << "<h3 class=\"title\">" << html_inline(table.title) << "</h3>\n";
    const std::string label = html_escaped(titled ? table.title : of);
    out_ << "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Table: " << label
         << "\">\n<table" << (all_after_first ? " class=numbers" : "")
         << "><caption class=\"quiet\">" << label << "</caption>\n<thead><tr>";
    for (std::size_t i = 0; i < table.columns.size(); ++i)
      out_ << "<th scope=\"col\"" << align(i) << '>' << html_inline(table.columns[i]) << "</th>";
    out_ << "</tr></thead>\n<tbody>\n";
    const std::size_t num_shown = std::min(
        table.rows.size(),
        std::max<std::size_t>(1, kCellsOfATable / std::max<std::size_t>(1, numeric.size())));
    for (std::size_t r = 0; r < num_shown; ++r) {
      const auto& row = table.rows[r];
      ENSURE(row.size() == table.columns.size());
      out_ << "<tr>";
      for (std::size_t i = 0; i < row.size(); ++i)
        out_ << (i == 0 ? "<th scope=row" : "<td") << align(i) << '>' << html_inline(row[i]);
      out_ << '\n';  // cells and rows end by themselves where the next begins
    }
    out_ << "</tbody></table>\n</div>\n";
    if (num_shown < table.rows.size())
      out_ << "<p class=\"hint\">The first " << num_shown << " of " << table.rows.size()
           << " rows; all are in tables/" << html_escaped(file) << ".csv.</p>\n";
  }

  static constexpr const char* kZoomKeys =
      " Keys: plus and minus zoom, the arrows move, zero shows all.";
  static constexpr const char* kZoomHint =
      "Drag the ends of the bar below the lanes, or Ctrl and the mouse wheel, to zoom; with the "
      "keyboard + - 0 and the arrows.";

  const Report& report_;
  std::ostream& out_;
  std::vector<NamedTable> tables_;  // in the order in which they are written
  std::size_t num_figures_ = 0, num_tables_ = 0;
};

}  // namespace

void write_html(const Report& report, std::ostream& out) { Page(report, out).write(); }

}  // namespace moesim
