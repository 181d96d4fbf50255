// A chart in characters, for terminals and Markdown: bars and their values, a sparkline a series, a
// field of points, shaded blocks, lanes. It shows the shape; the numbers are in the chart's table.
#pragma once

#include <string>
#include <vector>

#include "reports/chart.hpp"

namespace moesim {

inline constexpr std::size_t kTextChartColumns = 100;

// Lines of at most kTextChartColumns columns, without the chart's title and summary.
std::vector<std::string> text_chart(const Chart& chart);

}  // namespace moesim
