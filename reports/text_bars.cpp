// Bars in characters: a row a category, or one a category and series where bars would cover each
// other or be more than there are shades.
#include <array>

#include "model/errors.hpp"
#include "reports/text_chart_parts.hpp"

namespace moesim {
namespace {

constexpr std::size_t kBarColumns = 46, kNameColumns = 34;
// Of a cell from its left, in eighths.
constexpr std::array<const char*, 9> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
constexpr std::array<const char*, 4> kShades = {"█", "▓", "▒", "░"};

bool cover_each_other(const BarChart& chart) {
  for (std::size_t c = 0; c < chart.categories.size(); ++c)
    for (std::size_t i = 0; i < chart.series.size(); ++i)
      for (std::size_t k = i + 1; k < chart.series.size(); ++k) {
        const auto &a = chart.series[i].bars[c], &b = chart.series[k].bars[c];
        const double shared = std::min(std::max(a.from, a.to), std::max(b.from, b.to)) -
                              std::max(std::min(a.from, a.to), std::min(b.from, b.to));
        const double size =
            std::max({std::abs(a.from), std::abs(a.to), std::abs(b.from), std::abs(b.to)});
        if (shared > 1e-9 * size) return true;
      }
  return false;
}

// One bar alone, to an eighth of a column. A bar that is not nothing shows at least that much.
std::string single_bar(const AxisScale& scale, BarChart::Bar bar) {
  if (bar.from == bar.to) return "";
  const double n = 8.0 * kBarColumns;
  auto from = std::lround(n * scale.share(std::min(bar.from, bar.to)));
  const auto to = std::max(from + 1, std::lround(n * scale.share(std::max(bar.from, bar.to))));
  from -= from % 8;  // left edges have no finer characters
  std::string text(static_cast<std::size_t>(from / 8), ' ');
  for (auto left = to - from; left > 0; left -= 8)
    text += kEighths[static_cast<std::size_t>(std::min<long>(8, left))];
  return text;
}

std::string shaded_bars(const AxisScale& scale, const BarChart& chart, std::size_t category) {
  std::vector<const char*> cells(kBarColumns, " ");
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    const BarChart::Bar bar = chart.series[i].bars[category];
    const auto place = [&](double v) { return std::lround(kBarColumns * scale.share(v)); };
    for (auto k = place(std::min(bar.from, bar.to)); k < place(std::max(bar.from, bar.to)); ++k)
      cells[static_cast<std::size_t>(k)] = kShades[i];
  }
  std::string text;
  for (const char* cell : cells) text += cell;
  return text;
}

std::string amount(const BarChart& chart, BarChart::Bar bar) {
  return axis_value(bar.from == 0 ? bar.to : bar.to - bar.from, chart.value);
}

}  // namespace

std::vector<std::string> text_of(const BarChart& chart) {
  AxisScale scale(chart.value.logarithmic);
  // Bars that all start elsewhere, a tornado around a value, say nothing about zero.
  bool from_zero = false;
  for (const BarChart::Series& series : chart.series) {
    ENSURE(series.bars.size() == chart.categories.size());
    for (const BarChart::Bar& bar : series.bars) {
      scale.include(bar.from);
      scale.include(bar.to);
      from_zero = from_zero || bar.from == 0 || bar.to == 0;
    }
  }
  if (from_zero) scale.include(0);
  if (scale.empty() || chart.categories.empty()) return {"(no bar)"};
  const std::size_t width = name_width(chart.categories, kNameColumns);
  const bool shaded = chart.series.size() > 1 && chart.series.size() <= kShades.size() &&
                      !chart.value.logarithmic && !cover_each_other(chart);
  std::vector<std::string> lines;
  for (std::size_t c = 0; c < chart.categories.size(); ++c) {
    const std::string name = fitted(chart.categories[c], width) + "  ";
    if (shaded) {
      lines.push_back(name + "|" + shaded_bars(scale, chart, c) + "|");
      continue;
    }
    for (std::size_t i = 0; i < chart.series.size(); ++i) {
      const BarChart::Bar bar = chart.series[i].bars[c];
      const std::string value = amount(chart, bar);
      std::string line = (i == 0 ? name : std::string(width + 2, ' '));
      line += std::string(12 - std::min<std::size_t>(12, display_width(value)), ' ') + value + "  ";
      line += single_bar(scale, bar);
      if (chart.series.size() > 1) line += " " + chart.series[i].name;
      lines.push_back(line);
    }
  }
  if (shaded) {
    std::string legend = "|" + axis_value(scale.low(), chart.value) + " to " +
                         axis_value(scale.high(), chart.value) + "|";
    for (std::size_t i = 0; i < chart.series.size(); ++i)
      legend += std::string("  ") + kShades[i] + " " + chart.series[i].name;
    lines.push_back(legend);
  }
  for (const ChartMark& mark : chart.marks)
    if (mark.y) lines.push_back(mark.name + ": " + axis_value(*mark.y, chart.value));
  return lines;
}

}  // namespace moesim
