// Lines as sparklines on a common scale, one a series; points as a field of characters.
#include <array>
#include <optional>

#include "reports/text_chart_parts.hpp"

namespace moesim {
namespace {

constexpr std::size_t kSparkColumns = 48, kFieldColumns = 64, kFieldRows = 12, kNameColumns = 24;
constexpr std::array<const char*, 8> kLevels = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::string_view kPointSigns = "ox+*#@%&";

struct Scales {
  AxisScale x, y;
};

Scales scales_of(const XyChart& chart) {
  Scales scales{AxisScale(chart.x.logarithmic), AxisScale(chart.y.logarithmic)};
  for (const XyChart::Series& series : chart.series)
    for (const auto& [x, y] : series.points) {
      if (!scales.x.shows(x) || !scales.y.shows(y)) continue;
      scales.x.include(x);
      scales.y.include(y);
    }
  return scales;
}

// The value of a series in each of the columns: the mean of its points there, and between points
// what its line has; nothing outside of them.
std::vector<std::optional<double>> sampled(const XyChart::Series& series, const Scales& scales) {
  std::vector<std::pair<double, double>> points;
  for (const auto& [x, y] : series.points)
    if (scales.x.shows(x) && scales.y.shows(y)) points.emplace_back(scales.x.share(x), y);
  std::vector<std::optional<double>> columns(kSparkColumns);
  std::size_t next = 0;
  for (std::size_t c = 0; c < kSparkColumns; ++c) {
    const double from = static_cast<double>(c) / kSparkColumns, to = from + 1.0 / kSparkColumns;
    double sum = 0, count = 0;
    for (; next < points.size() && (points[next].first < to || c + 1 == kSparkColumns); ++next) {
      sum += points[next].second;
      ++count;
    }
    if (count > 0) {
      columns[c] = sum / count;
    } else if (next > 0 && next < points.size()) {
      const auto& [x0, y0] = points[next - 1];
      const auto& [x1, y1] = points[next];
      const double share = series.drawn == XyChart::Drawn::steps ? 0 : (from - x0) / (x1 - x0);
      columns[c] = y0 + std::clamp(share, 0.0, 1.0) * (y1 - y0);
    }
  }
  return columns;
}

void add_sparklines(const XyChart& chart, const Scales& scales, std::vector<std::string>& lines) {
  std::vector<std::string> names;
  for (const XyChart::Series& series : chart.series) names.push_back(series.name);
  const std::size_t width = name_width(names, kNameColumns);
  for (const XyChart::Series& series : chart.series) {
    AxisScale own(false);
    for (const auto& point : series.points) own.include(point.second);
    std::string line = fitted(series.name, width) + "  ";
    for (const std::optional<double>& value : sampled(series, scales))
      line += value ? kLevels[scales.y.cell(*value, kLevels.size())] : " ";
    if (!own.empty())
      line += "  " + axis_value(own.low(), chart.y) + " to " + axis_value(own.high(), chart.y);
    lines.push_back(line);
  }
  const std::string low = axis_value(scales.x.low(), chart.x),
                    high = axis_value(scales.x.high(), chart.x);
  const std::size_t taken = display_width(low) + display_width(high);
  lines.push_back(std::string(width + 2, ' ') + low +
                  std::string(kSparkColumns > taken ? kSparkColumns - taken : 1, ' ') + high +
                  "  " + axis_title(chart.x) + (chart.x.logarithmic ? " (logarithmic)" : ""));
}

void add_field(const XyChart& chart, const Scales& scales, std::vector<std::string>& lines) {
  std::vector<std::string> field(kFieldRows, std::string(kFieldColumns, ' '));
  const auto put = [&](double x, double y, char sign) {
    if (!scales.x.shows(x) || !scales.y.shows(y)) return;
    field[kFieldRows - 1 - scales.y.cell(y, kFieldRows)][scales.x.cell(x, kFieldColumns)] = sign;
  };
  for (std::size_t i = 0; i < chart.series.size(); ++i)  // the later one on top, as on the page
    for (const auto& [x, y] : chart.series[i].points)
      put(x, y, kPointSigns[i % kPointSigns.size()]);
  for (std::size_t i = 0; i < chart.marks.size() && i < 26; ++i)
    if (chart.marks[i].x && chart.marks[i].y)
      put(*chart.marks[i].x, *chart.marks[i].y, static_cast<char>('A' + i));

  const std::string top = axis_value(scales.y.high(), chart.y),
                    bottom = axis_value(scales.y.low(), chart.y);
  const std::size_t width = std::max(display_width(top), display_width(bottom));
  lines.push_back(axis_title(chart.y) + (chart.y.logarithmic ? " (logarithmic)" : ""));
  for (std::size_t r = 0; r < kFieldRows; ++r) {
    const std::string label = r == 0 ? top : r + 1 == kFieldRows ? bottom : "";
    lines.push_back(std::string(width - display_width(label), ' ') + label + " |" + field[r]);
  }
  lines.push_back(std::string(width + 1, ' ') + "+" + std::string(kFieldColumns, '-'));
  const std::string low = axis_value(scales.x.low(), chart.x),
                    high = axis_value(scales.x.high(), chart.x);
  const std::size_t taken = display_width(low) + display_width(high);
  lines.push_back(std::string(width + 2, ' ') + low +
                  std::string(kFieldColumns > taken ? kFieldColumns - taken : 1, ' ') + high);
  lines.push_back(std::string(width + 2, ' ') + axis_title(chart.x) +
                  (chart.x.logarithmic ? " (logarithmic)" : ""));
  for (std::size_t i = 0; i < chart.series.size(); ++i)
    lines.push_back(std::string(1, kPointSigns[i % kPointSigns.size()]) + " " +
                    chart.series[i].name);
}

}  // namespace

std::vector<std::string> text_of(const XyChart& chart) {
  Scales scales = scales_of(chart);
  if (scales.x.empty()) return {"(no point)"};
  const bool points = std::any_of(chart.series.begin(), chart.series.end(), [](const auto& series) {
    return series.drawn == XyChart::Drawn::points;
  });
  std::vector<std::string> lines;
  if (points) {
    for (const ChartMark& mark : chart.marks)
      if (mark.x && mark.y && scales.x.shows(*mark.x) && scales.y.shows(*mark.y)) {
        scales.x.include(*mark.x);
        scales.y.include(*mark.y);
      }
    add_field(chart, scales, lines);
  } else {
    lines.push_back(axis_title(chart.y) + (chart.y.logarithmic ? " (logarithmic)" : ""));
    add_sparklines(chart, scales, lines);
  }
  for (std::size_t i = 0; i < chart.marks.size(); ++i) {
    const ChartMark& mark = chart.marks[i];
    const bool lettered = points && mark.x && mark.y && i < 26;
    std::string line = lettered ? std::string(1, static_cast<char>('A' + i)) + " " : "";
    line += mark.name + ":";
    if (mark.x) line += " " + chart.x.name + " " + axis_value(*mark.x, chart.x);
    if (mark.y) line += (mark.x ? ", " : " ") + chart.y.name + " " + axis_value(*mark.y, chart.y);
    lines.push_back(line);
  }
  return lines;
}

}  // namespace moesim
