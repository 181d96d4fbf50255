// What the kinds of text chart share.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "reports/chart.hpp"
#include "reports/utf8.hpp"

namespace moesim {

// "12.8 ms", "4096", "17 tokens/s".
std::string axis_value(double value, const ChartAxis& axis);
// "time since the start, s"
std::string axis_title(const ChartAxis& axis);

// Maps values to 0..1; logarithmic where the axis is. Without an extent everything is at 0.
class AxisScale {
 public:
  explicit AxisScale(bool logarithmic) : logarithmic_(logarithmic) {}
  bool shows(double value) const { return std::isfinite(value) && (!logarithmic_ || value > 0); }
  void include(double value) {
    if (!shows(value)) return;
    low_ = std::min(low_, value);
    high_ = std::max(high_, value);
  }
  bool empty() const { return low_ > high_; }
  double low() const { return low_; }
  double high() const { return high_; }
  double share(double value) const {
    const double from = at(low_), to = at(high_);
    return to > from ? std::clamp((at(value) - from) / (to - from), 0.0, 1.0) : 0;
  }
  // The place of a value among n cells.
  std::size_t cell(double value, std::size_t n) const {
    return std::min(n - 1, static_cast<std::size_t>(share(value) * static_cast<double>(n)));
  }

 private:
  double at(double value) const { return logarithmic_ ? std::log(value) : value; }
  bool logarithmic_;
  double low_ = std::numeric_limits<double>::infinity(), high_ = -low_;
};

// The columns that the longest of some names needs, at most `limit`.
std::size_t name_width(const std::vector<std::string>& names, std::size_t limit);

std::vector<std::string> text_of(const XyChart& chart);
std::vector<std::string> text_of(const BarChart& chart);
std::vector<std::string> text_of(const Heatmap& chart);
std::vector<std::string> text_of(const TimelineChart& chart);

}  // namespace moesim
