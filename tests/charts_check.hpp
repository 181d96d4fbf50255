// What every chart of a report has to keep: sizes that fit together, numbers that are numbers.
#pragma once

#include <cmath>
#include <string>

#include "reports/report.hpp"
#include "tests/catch.hpp"

namespace moesim {

struct ChartChecker {
  void operator()(const XyChart& chart) const {
    CHECK_FALSE(chart.series.empty());
    for (const XyChart::Series& series : chart.series) {
      CAPTURE(series.name);
      CHECK((series.point_names.empty() || series.point_names.size() == series.points.size()));
      for (std::size_t i = 0; i < series.points.size(); ++i) {
        const auto& [x, y] = series.points[i];
        REQUIRE((std::isfinite(x) && std::isfinite(y)));
        REQUIRE((!chart.x.logarithmic || x > 0));
        REQUIRE((!chart.y.logarithmic || y > 0));
        if (i > 0 && series.drawn != XyChart::Drawn::points)
          REQUIRE(x >= series.points[i - 1].first);
      }
    }
    for (const ChartMark& mark : chart.marks) CHECK((mark.x.has_value() || mark.y.has_value()));
  }
  void operator()(const BarChart& chart) const {
    CHECK_FALSE(chart.categories.empty());
    for (const BarChart::Series& series : chart.series) {
      CAPTURE(series.name);
      REQUIRE(series.bars.size() == chart.categories.size());
      for (const BarChart::Bar& bar : series.bars)
        REQUIRE((std::isfinite(bar.from) && std::isfinite(bar.to)));
    }
  }
  void operator()(const Heatmap& chart) const {
    REQUIRE(chart.cells.size() == chart.y_categories.size());
    CHECK_FALSE(chart.cells.empty());
    for (const auto& row : chart.cells) {
      REQUIRE(row.size() == chart.x_categories.size());
      for (const double value : row) REQUIRE(std::isfinite(value));
    }
  }
  void operator()(const TimelineChart& chart) const {
    CHECK_FALSE(chart.spans.empty());
    for (const TimelineChart::Span& span : chart.spans) {
      REQUIRE(span.lane < chart.lanes.size());
      REQUIRE(span.kind < chart.kinds.size());
      REQUIRE((span.start_s >= 0 && span.end_s >= span.start_s));
    }
  }
};

inline void check_charts(const Report& report) {
  for (const Section& section : report.sections)
    for (const Chart& chart : section.charts) {
      CAPTURE(section.title, chart.title);
      CHECK_FALSE(chart.title.empty());
      CHECK_FALSE(chart.summary.empty());
      std::visit(ChartChecker{}, chart.body);
      const Table table = table_of(chart);
      CHECK_FALSE(table.rows.empty());
      for (const auto& row : table.rows) REQUIRE(row.size() == table.columns.size());
    }
}

inline const Section* find_section(const Report& report, const std::string& title) {
  for (const Section& section : report.sections)
    if (section.title == title) return &section;
  return nullptr;
}

// The cell beside a row's name in a section's first table.
inline std::string answer_of(const Section& section, const std::string& question) {
  for (const auto& row : section.tables.front().rows)
    if (row.front() == question) return row[1];
  return "no row " + question;
}

template <class Body>
const Body& chart_of(const Report& report, const std::string& section, const std::string& title) {
  const Section* found = find_section(report, section);
  REQUIRE(found != nullptr);
  for (const Chart& chart : found->charts)
    if (chart.title == title) return std::get<Body>(chart.body);
  FAIL("no chart " << title);
  throw std::logic_error("not reached");
}

}  // namespace moesim
