// A chart before it is drawn: names, units and numbers, no pixels and no colours. A writer decides
// how it looks (reports/html, reports/text_chart); its numbers are always given as a table too, for
// those who cannot see it and those who do not believe it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "reports/table.hpp"

namespace moesim {

struct ChartAxis {
  std::string name;  // "time since the start"
  std::string unit;  // "s", "tokens/s"; empty: a count or a share
  bool logarithmic = false;
};

// A place on a chart with a word beside it: the knee of a curve, the chosen point, a limit. Without
// a y it is a vertical line, without an x a horizontal one.
struct ChartMark {
  std::string name;
  std::optional<double> x, y;
};

// Lines and points over two numbers: CDFs, time series, load-latency, Pareto sets.
struct XyChart {
  enum class Drawn : std::uint8_t { line, steps, points };  // steps: constant until the next x
  struct Series {
    std::string name;
    Drawn drawn = Drawn::line;
    std::vector<std::pair<double, double>> points;  // line and steps: by x
    std::vector<std::string> point_names;           // [points] or none: "batch 64"
  };
  ChartAxis x, y;
  std::vector<Series> series;
  std::vector<ChartMark> marks;
};

// Bars over names, each from one value to another: from zero, on top of each other (stacked),
// hanging in the air (a waterfall), to both sides of a base (a tornado: two series).
struct BarChart {
  struct Bar {
    double from = 0, to = 0;
  };
  struct Series {
    std::string name;
    std::vector<Bar> bars;  // [categories]; from == to: none
  };
  ChartAxis value;
  std::string category_name;  // "pipeline rank"
  std::vector<std::string> categories;
  std::vector<Series> series;
  bool sideways = false;         // categories down the side: long names
  std::vector<ChartMark> marks;  // y: a value
};

// A value for each pair of names: expert loads, traffic between nodes.
struct Heatmap {
  std::string x_name, y_name;
  std::vector<std::string> x_categories, y_categories;
  ChartAxis value;
  std::vector<std::vector<double>> cells;  // [y][x]
};

// Who does what when.
struct TimelineChart {
  struct Span {
    std::size_t lane = 0, kind = 0;
    double start_s = 0, end_s = 0;
    std::string name;
  };
  std::vector<std::string> lanes;  // "pp 0, compute"
  std::vector<std::string> kinds;  // colours mean these
  std::vector<Span> spans;
};

struct Chart {
  std::string title;    // what it shows
  std::string summary;  // what to see in it, in one sentence: its alternative text
  std::variant<XyChart, BarChart, Heatmap, TimelineChart> body;
};

// The numbers of a chart. Of a timeline: seconds and spans of every lane and kind.
Table table_of(const Chart& chart);

}  // namespace moesim
