#include "reports/html/chart_data.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>

namespace moesim {
namespace {

// Of a timeline: a tenth of a pixel, zoomed in a thousand times.
constexpr double kTicks = 1e7;

JsonValue nine_digits(double value) {
  if (std::isfinite(value)) {
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", value);
    value = std::strtod(text, nullptr);
    if (value == std::floor(value) && std::abs(value) < 1e15)
      return {static_cast<std::int64_t>(value)};
  }
  return {value};  // of one that is not finite the writer says where it is
}

JsonValue axis_data(const ChartAxis& axis) {
  return JsonValue::object()
      .set("name", axis.name)
      .set("unit", axis.unit)
      .set("log", axis.logarithmic);
}

JsonValue texts(const std::vector<std::string>& list) {
  JsonValue array = JsonValue::array();
  for (const std::string& text : list) array.push(text);
  return array;
}

JsonValue marks_data(const std::vector<ChartMark>& marks) {
  JsonValue array = JsonValue::array();
  for (const ChartMark& mark : marks) {
    JsonValue item = JsonValue::object().set("name", mark.name);
    if (mark.x) item.set("x", nine_digits(*mark.x));
    if (mark.y) item.set("y", nine_digits(*mark.y));
    array.push(std::move(item));
  }
  return array;
}

const char* drawn_name(XyChart::Drawn drawn) {
  switch (drawn) {
    case XyChart::Drawn::line: return "line";
    case XyChart::Drawn::steps: return "steps";
    case XyChart::Drawn::points: return "points";
  }
  ENSURE(false);
}

JsonValue data_of(const XyChart& chart) {
  JsonValue list = JsonValue::array();
  for (const XyChart::Series& series : chart.series) {
    JsonValue points = JsonValue::array();
    for (const auto& [x, y] : series.points)
      points.push(JsonValue::array().push(nine_digits(x)).push(nine_digits(y)));
    JsonValue item = JsonValue::object();
    item.set("name", series.name).set("drawn", drawn_name(series.drawn));
    item.set("points", std::move(points));
    if (!series.point_names.empty()) item.set("names", texts(series.point_names));
    list.push(std::move(item));
  }
  JsonValue data = JsonValue::object().set("type", "xy");
  data.set("x", axis_data(chart.x)).set("y", axis_data(chart.y)).set("series", std::move(list));
  return data.set("marks", marks_data(chart.marks));
}

JsonValue data_of(const BarChart& chart) {
  JsonValue list = JsonValue::array();
  for (const BarChart::Series& series : chart.series) {
    JsonValue bars = JsonValue::array();
    for (const BarChart::Bar& bar : series.bars)
      bars.push(JsonValue::array().push(nine_digits(bar.from)).push(nine_digits(bar.to)));
    list.push(JsonValue::object().set("name", series.name).set("bars", std::move(bars)));
  }
  JsonValue data = JsonValue::object().set("type", "bars").set("value", axis_data(chart.value));
  data.set("category_name", chart.category_name).set("categories", texts(chart.categories));
  data.set("series", std::move(list)).set("sideways", chart.sideways);
  return data.set("marks", marks_data(chart.marks));
}

JsonValue data_of(const Heatmap& chart) {
  JsonValue rows = JsonValue::array();
  for (const auto& row : chart.cells) {
    JsonValue cells = JsonValue::array();
    for (const double value : row) cells.push(nine_digits(value));
    rows.push(std::move(cells));
  }
  JsonValue data = JsonValue::object().set("type", "heatmap").set("value", axis_data(chart.value));
  data.set("x_name", chart.x_name).set("x_categories", texts(chart.x_categories));
  data.set("y_name", chart.y_name).set("y_categories", texts(chart.y_categories));
  return data.set("cells", std::move(rows));
}

// There may be ten thousand spans, so they are whole numbers in one list, five each: lane, kind,
// start and length in ticks, name by its place in a list or -1 where the kind says all.
JsonValue data_of(const TimelineChart& chart) {
  std::vector<std::size_t> order(chart.spans.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return chart.spans[a].start_s < chart.spans[b].start_s;
  });
  const double start_s = order.empty() ? 0 : chart.spans[order.front()].start_s;
  double end_s = start_s;
  for (const TimelineChart::Span& span : chart.spans) end_s = std::max(end_s, span.end_s);
  ENSURE(std::isfinite(start_s) && std::isfinite(end_s));
  const double tick_s = std::max(end_s - start_s, 1e-12) / kTicks;
  std::map<std::string, std::int64_t> place;
  JsonValue names = JsonValue::array(), spans = JsonValue::array();
  for (const std::size_t i : order) {
    const TimelineChart::Span& span = chart.spans[i];
    ENSURE(span.lane < chart.lanes.size() && span.kind < chart.kinds.size());
    const std::int64_t from = std::llround((span.start_s - start_s) / tick_s);
    spans.push(static_cast<std::int64_t>(span.lane)).push(static_cast<std::int64_t>(span.kind));
    spans.push(from).push(std::int64_t{std::llround((span.end_s - start_s) / tick_s)} - from);
    std::int64_t name = -1;
    if (!span.name.empty() && span.name != chart.kinds[span.kind]) {
      const auto [it, is_new] = place.emplace(span.name, static_cast<std::int64_t>(place.size()));
      if (is_new) names.push(span.name);
      name = it->second;
    }
    spans.push(name);
  }
  JsonValue data = JsonValue::object().set("type", "timeline").set("lanes", texts(chart.lanes));
  data.set("kinds", texts(chart.kinds)).set("names", std::move(names));
  data.set("start_s", start_s).set("tick_s", tick_s);
  return data.set("spans", std::move(spans));
}

}  // namespace

JsonValue chart_data(const Chart& chart) {
  return std::visit([](const auto& body) { return data_of(body); }, chart.body);
}

}  // namespace moesim
