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

// Points 0, step, 2 step, ... 2^bits steps; then 2^bits points an octave. All are whole when `step`
// is, and multiples of their distance, so that powers of two are points. The cell of a value is
// read from the exponent and the leading bits of the mantissa.
class GridAxis {
 public:
  struct Cell {
    std::size_t index = 0;  // of the point below
    double fraction = 0;    // of the way to the next one; above 1 beyond the last
  };

  GridAxis(double step, int bits, double last)
      : per_step_(1 / step),
        linear_(static_cast<double>(std::uint64_t{1} << bits)),
        shift_(52 - bits),
        base_(std::bit_cast<std::uint64_t>(linear_) >> shift_) {
    ENSURE(step > 0 && bits >= 0 && bits < 20 && last > 0);
    const double end = last * per_step_;
    size_ = cell_of(end) + (position(cell_of(end)) < end ? 2 : 1);
    size_ = std::max<std::size_t>(2, size_);
  }
  std::size_t size() const { return size_; }
  double value(std::size_t i) const { return position(i) / per_step_; }

  Cell locate(double x) const {
    const double u = std::max(0.0, x * per_step_);
    if (u < linear_ && u < static_cast<double>(size_ - 1)) {
      const auto below = static_cast<std::size_t>(u);
      return {below, u - static_cast<double>(below)};
    }
    std::size_t cell = cell_of(u);
    if (cell + 2 > size_) {
      cell = size_ - 2;
      const double low = position(cell);
      return {cell, (u - low) / (position(cell + 1) - low)};
    }
    const std::uint64_t cells = std::uint64_t{1} << shift_,
                        rest = std::bit_cast<std::uint64_t>(u) & (cells - 1);
    return {cell, static_cast<double>(rest) / static_cast<double>(cells)};
  }

 private:
  std::size_t cell_of(double u) const {
    return u < linear_
               ? static_cast<std::size_t>(u)
               : static_cast<std::size_t>((std::bit_cast<std::uint64_t>(u) >> shift_) - base_) +
                     static_cast<std::size_t>(linear_);
  }
  double position(std::size_t i) const {
    const auto whole = static_cast<std::size_t>(linear_);
    return i < whole
               ? static_cast<double>(i)
               : std::bit_cast<double>((base_ + static_cast<std::uint64_t>(i - whole)) << shift_);
  }

  double per_step_, linear_;  // steps of equal size up to there
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
