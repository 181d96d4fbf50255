#include "reports/text_chart.hpp"

#include "reports/format.hpp"
#include "reports/text_chart_parts.hpp"

namespace moesim {

std::string axis_value(double value, const ChartAxis& axis) {
  if (axis.unit == "s") return value < 0 ? "-" + format_seconds(-value) : format_seconds(value);
  if (axis.unit == "B" && value >= 0) return format_bytes(value * B);
  if (axis.unit == "$" || axis.unit == "USD")
    return value < 0 ? "-" + format_usd(-value) : format_usd(value);
  return axis.unit.empty() ? digits4(value) : digits4(value) + " " + axis.unit;
}

std::string axis_title(const ChartAxis& axis) {
  return axis.unit.empty() ? axis.name : axis.name + ", " + axis.unit;
}

std::size_t name_width(const std::vector<std::string>& names, std::size_t limit) {
  std::size_t width = 0;
  for (const std::string& name : names) width = std::max(width, display_width(name));
  return std::min(width, limit);
}

std::vector<std::string> text_chart(const Chart& chart) {
  std::vector<std::string> lines =
      std::visit([](const auto& body) { return text_of(body); }, chart.body);
  for (std::string& line : lines) {
    // A name with a line break in it would end its line, or the block it stands in.
    for (char& c : line)
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    if (display_width(line) > kTextChartColumns) line = fitted(line, kTextChartColumns);
    line.erase(line.find_last_not_of(' ') + 1);
  }
  return lines;
}

}  // namespace moesim
