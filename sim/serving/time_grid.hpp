// Times on a grid that is fine where numbers are small and coarse where they are large, with
// straight lines between: a look-up costs a few nanoseconds and no logarithm. Beyond the last point
// the last line goes on, before the first its value stays.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "model/errors.hpp"

namespace moesim {

// Points first, first + step, ...: 2^bits steps of `step`, then as many of twice that, and so on.
// All points are whole when `first` and `step` are; from 0, they are multiples of their distance. The cell of a value is read from the exponent
// and the leading bits of the mantissa of (value - first) / step + 2^bits.
class GridAxis {
 public:
  struct Cell {
    std::size_t index = 0;  // of the point below
    double fraction = 0;    // of the way to the next one; above 1 beyond the last
  };

  GridAxis(double first, double step, int bits, double last)
      : first_(first),
        per_step_(1 / step),
        offset_(static_cast<double>(std::uint64_t{1} << bits)),
        shift_(52 - bits),
        base_(std::bit_cast<std::uint64_t>(offset_) >> shift_) {
    ENSURE(step > 0 && bits >= 0 && bits < 20 && last >= first);
    size_ = std::max<std::size_t>(
        2, cell_of((last - first) * per_step_ + offset_) + (last > first ? 2 : 1));
  }
  std::size_t size() const { return size_; }
  double value(std::size_t i) const { return first_ + (position(i) - offset_) / per_step_; }

  Cell locate(double x) const {
    const double u = std::max(0.0, (x - first_) * per_step_) + offset_;
    const std::size_t cell = cell_of(u);
    if (cell + 2 > size_) {
      const double low = position(size_ - 2), high = position(size_ - 1);
      return {size_ - 2, (u - low) / (high - low)};
    }
    const std::uint64_t rest = std::bit_cast<std::uint64_t>(u) & ((std::uint64_t{1} << shift_) - 1);
    return {cell,
            static_cast<double>(rest) / static_cast<double>(std::uint64_t{1} << shift_)};
  }

 private:
  std::size_t cell_of(double u) const {
    return static_cast<std::size_t>((std::bit_cast<std::uint64_t>(u) >> shift_) - base_);
  }
  double position(std::size_t i) const {
    return std::bit_cast<double>((base_ + static_cast<std::uint64_t>(i)) << shift_);
  }

  double first_, per_step_, offset_;
  int shift_;
  std::uint64_t base_;
  std::size_t size_ = 0;
};

// Several times of the same argument: one look-up finds them all.
template <std::size_t kColumns>
class TimeTable {
 public:
  using Row = std::array<double, kColumns>;
  template <class At>
  TimeTable(const GridAxis& axis, const At& at) : axis_(axis) {
    rows_.reserve(axis.size());
    for (std::size_t i = 0; i < axis.size(); ++i) rows_.push_back(at(axis.value(i)));
  }
  Row at(double x) const {
    const GridAxis::Cell c = axis_.locate(x);
    const Row &a = rows_[c.index], &b = rows_[c.index + 1];
    Row row;
    for (std::size_t k = 0; k < kColumns; ++k) row[k] = a[k] + c.fraction * (b[k] - a[k]);
    return row;
  }
  const GridAxis& axis() const { return axis_; }

 private:
  GridAxis axis_;
  std::vector<Row> rows_;
};

class TimePlane {
 public:
  template <class At>
  TimePlane(const GridAxis& x, const GridAxis& y, const At& at) : x_(x), y_(y) {
    values_.reserve(x.size() * y.size());
    for (std::size_t i = 0; i < x.size(); ++i)
      for (std::size_t j = 0; j < y.size(); ++j) values_.push_back(at(x.value(i), y.value(j)));
  }
  double at(double x, double y) const {
    const GridAxis::Cell a = x_.locate(x), b = y_.locate(y);
    const double* low = &values_[a.index * y_.size() + b.index];
    const double* high = low + y_.size();
    const double l = low[0] + b.fraction * (low[1] - low[0]),
                 h = high[0] + b.fraction * (high[1] - high[0]);
    return l + a.fraction * (h - l);
  }

 private:
  GridAxis x_, y_;
  std::vector<double> values_;
};

}  // namespace moesim
