// Heatmaps as shaded blocks, timelines as lanes of letters.
#include <array>
#include <cctype>
#include <map>

#include "model/errors.hpp"
#include "reports/format.hpp"
#include "reports/text_chart_parts.hpp"

namespace moesim {
namespace {

constexpr std::size_t kColumns = 64, kRows = 32, kNameColumns = 26;
constexpr std::array<const char*, 5> kShades = {" ", "░", "▒", "▓", "█"};

// A letter for each kind: of its own name where one is free.
std::string letters_of(const std::vector<std::string>& kinds) {
  static constexpr std::string_view kAny =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::string letters;
  for (const std::string& kind : kinds) {
    std::string wanted;
    for (const char c : kind) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte >= 0x80 || std::isalnum(byte) == 0) continue;
      wanted += static_cast<char>(std::toupper(byte));
      wanted += static_cast<char>(std::tolower(byte));
    }
    wanted += kAny;
    const std::size_t free = wanted.find_first_not_of(letters);
    letters += free == std::string::npos ? '?' : wanted[free];  // more than 62 kinds
  }
  return letters;
}

}  // namespace

// Cells that share a character are shown by their mean.
std::vector<std::string> text_of(const Heatmap& chart) {
  const std::size_t ny = chart.y_categories.size(), nx = chart.x_categories.size();
  if (ny == 0 || nx == 0) return {"(no cell)"};
  const std::size_t rows = std::min(ny, kRows), columns = std::min(nx, kColumns);
  AxisScale scale(chart.value.logarithmic);
  std::vector<std::vector<double>> mean(rows, std::vector<double>(columns, 0.0));
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) {
      double count = 0;
      for (std::size_t y = r * ny / rows; y < (r + 1) * ny / rows; ++y)
        for (std::size_t x = c * nx / columns; x < (c + 1) * nx / columns; ++x, ++count)
          mean[r][c] += chart.cells.at(y).at(x);
      mean[r][c] /= count;
      scale.include(mean[r][c]);
    }
  if (scale.empty()) return {"(no value to show)"};
  const std::size_t width = name_width(chart.y_categories, kNameColumns);
  const std::size_t wide = columns <= kColumns / 2 ? 2 : 1;
  std::vector<std::string> lines;
  for (std::size_t r = 0; r < rows; ++r) {
    std::string line = fitted(chart.y_categories[r * ny / rows], width) + " |";
    for (const double value : mean[r])
      for (std::size_t k = 0; k < wide; ++k)
        line += scale.shows(value) ? kShades[scale.cell(value, kShades.size())] : " ";
    lines.push_back(line + "|");
  }
  lines.push_back("across: " + chart.x_name + ", " + chart.x_categories.front() + " to " +
                  chart.x_categories.back() + "; down: " + chart.y_name);
  lines.push_back("blank " + axis_value(scale.low(), chart.value) + " to █ " +
                  axis_value(scale.high(), chart.value) + ": " + chart.value.name +
                  (rows < ny || columns < nx ? " (means of neighbours)" : ""));
  return lines;
}

// A column shows what took most of its time; a dot where it was less than half busy.
std::vector<std::string> text_of(const TimelineChart& chart) {
  AxisScale scale(false);
  for (const TimelineChart::Span& span : chart.spans) {
    scale.include(span.start_s);
    scale.include(span.end_s);
  }
  if (scale.empty()) return {"(no span)"};
  const std::string letters = letters_of(chart.kinds);
  const double column_s = (scale.high() - scale.low()) / kColumns;
  // [lane][column]: seconds of each kind
  std::vector<std::vector<std::map<std::size_t, double>>> busy(
      chart.lanes.size(), std::vector<std::map<std::size_t, double>>(kColumns));
  for (const TimelineChart::Span& span : chart.spans) {
    ENSURE(span.lane < chart.lanes.size() && span.kind < chart.kinds.size());
    for (std::size_t c = scale.cell(span.start_s, kColumns); c <= scale.cell(span.end_s, kColumns);
         ++c) {
      const double from = scale.low() + static_cast<double>(c) * column_s;
      busy[span.lane][c][span.kind] +=
          std::max(0.0, std::min(span.end_s, from + column_s) - std::max(span.start_s, from));
    }
  }
  const std::size_t width = name_width(chart.lanes, kNameColumns);
  std::vector<std::string> lines;
  for (std::size_t lane = 0; lane < chart.lanes.size(); ++lane) {
    std::string line = fitted(chart.lanes[lane], width) + " |";
    for (const auto& kinds : busy[lane]) {
      double sum = 0, most = 0;
      std::size_t of = 0;
      for (const auto& [kind, seconds] : kinds) {
        sum += seconds;
        if (seconds > most) {
          most = seconds;
          of = kind;
        }
      }
      line += sum <= 0.05 * column_s ? ' ' : sum < 0.5 * column_s ? '.' : letters[of];
    }
    lines.push_back(line + "|");
  }
  lines.push_back(std::string(width, ' ') + "  " + format_seconds(scale.low()) + " to " +
                  format_seconds(scale.high()) + ", " + format_seconds(column_s) +
                  " a column; . is less than half busy");
  std::string legend;
  for (std::size_t k = 0; k < chart.kinds.size(); ++k) {
    const std::string item = std::string(1, letters[k]) + " " + chart.kinds[k];
    if (!legend.empty() && display_width(legend) + display_width(item) + 3 > 98) {
      lines.push_back(legend);
      legend.clear();
    }
    legend += (legend.empty() ? "" : "   ") + item;
  }
  lines.push_back(legend);
  return lines;
}

}  // namespace moesim
