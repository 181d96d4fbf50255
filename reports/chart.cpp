#include "reports/chart.hpp"

#include <algorithm>
#include <map>

#include "model/errors.hpp"
#include "reports/format.hpp"

namespace moesim {
namespace {

std::string with_unit(const std::string& name, const std::string& unit) {
  return unit.empty() ? name : name + " (" + unit + ")";
}
std::string with_unit(const ChartAxis& axis) { return with_unit(axis.name, axis.unit); }

Table table_of_body(const XyChart& chart) {
  Table table{"", {"series", with_unit(chart.x), with_unit(chart.y)}, {}};
  const bool named = std::any_of(chart.series.begin(), chart.series.end(), [](const auto& series) {
    return !series.point_names.empty();
  });
  if (named) table.columns.emplace_back("point");
  for (const XyChart::Series& series : chart.series) {
    ENSURE(series.point_names.empty() || series.point_names.size() == series.points.size());
    for (std::size_t i = 0; i < series.points.size(); ++i) {
      const auto& [x, y] = series.points[i];
      table.rows.push_back({series.name, digits4(x), digits4(y)});
      if (named)
        table.rows.back().push_back(series.point_names.empty() ? "" : series.point_names[i]);
    }
  }
  for (const ChartMark& mark : chart.marks) {
    table.rows.push_back(
        {mark.name, mark.x ? digits4(*mark.x) : "", mark.y ? digits4(*mark.y) : ""});
    if (named) table.rows.back().emplace_back();
  }
  return table;
}

// A bar that starts at zero, or at the end of the one before it, is its length.
Table table_of_body(const BarChart& chart) {
  Table table{"", {chart.category_name}, {}};
  std::vector<bool> hangs;
  for (const BarChart::Series& series : chart.series) {
    ENSURE(series.bars.size() == chart.categories.size());
    const bool from_elsewhere =
        chart.series.size() == 1 &&
        std::any_of(series.bars.begin(), series.bars.end(), [](auto b) { return b.from != 0; });
    hangs.push_back(from_elsewhere);
    if (from_elsewhere) {
      table.columns.push_back(with_unit(series.name + ", from", chart.value.unit));
      table.columns.push_back(with_unit("to", chart.value.unit));
    } else {
      table.columns.push_back(with_unit(series.name, chart.value.unit));
    }
  }
  for (std::size_t i = 0; i < chart.categories.size(); ++i) {
    std::vector<std::string> row = {chart.categories[i]};
    for (std::size_t k = 0; k < chart.series.size(); ++k) {
      const BarChart::Bar& bar = chart.series[k].bars[i];
      if (hangs[k]) row.push_back(digits4(bar.from));
      row.push_back(digits4(hangs[k] ? bar.to : bar.to - bar.from));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table table_of_body(const Heatmap& chart) {
  Table table{"", {chart.y_name + " \\ " + chart.x_name}, {}};
  table.columns.insert(table.columns.end(), chart.x_categories.begin(), chart.x_categories.end());
  ENSURE(chart.cells.size() == chart.y_categories.size());
  for (std::size_t y = 0; y < chart.cells.size(); ++y) {
    ENSURE(chart.cells[y].size() == chart.x_categories.size());
    std::vector<std::string> row = {chart.y_categories[y]};
    for (const double value : chart.cells[y]) row.push_back(digits4(value));
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table table_of_body(const TimelineChart& chart) {
  Table table{"", {"lane", "what", "spans", "seconds"}, {}};
  std::map<std::pair<std::size_t, std::size_t>, std::pair<std::int64_t, double>> sums;
  for (const TimelineChart::Span& span : chart.spans) {
    auto& [count, seconds] = sums[{span.lane, span.kind}];
    ++count;
    seconds += span.end_s - span.start_s;
  }
  for (const auto& [key, sum] : sums)
    table.rows.push_back({chart.lanes.at(key.first),
                          chart.kinds.at(key.second),
                          std::to_string(sum.first),
                          digits4(sum.second)});
  return table;
}

}  // namespace

Table table_of(const Chart& chart) {
  Table table = std::visit([](const auto& body) { return table_of_body(body); }, chart.body);
  table.title = chart.title;
  return table;
}

}  // namespace moesim
