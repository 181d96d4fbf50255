// How many requests wait, over a time that is not known before it is over: counts of arrivals and
// of first steps in bins whose width doubles whenever they run out.
#pragma once

#include <cstddef>
#include <vector>

#include "model/units.hpp"

namespace moesim {

class QueueTrend {
 public:
  explicit QueueTrend(Tick begin);
  void waited(Tick arrival, Tick until);  // of one request

  // Mean numbers waiting in `pieces` equal pieces of the time from `begin` to the last arrival.
  // Exact where a piece ends with a bin, interpolated inside one; a bin is at most 1/2000 of the
  // time.
  std::vector<double> mean_waiting(std::size_t pieces) const;
  double arrivals() const;
  double late_arrivals() const;  // in the second half of that time
  double waiting_at_last_arrival() const;
  Tick last_arrival() const { return last_arrival_; }

 private:
  // Events of one kind.
  struct Counts {
    std::vector<double> count, offset;  // [bins]; offset: of the events' times in their bin, summed
    void add(std::size_t bin, double at);
    void halve(double width);
    double before(double bins) const;                  // events before, time in bins
    double integral(double bins, double width) const;  // of before() over time
  };
  double bins_at(double time) const { return (time - static_cast<double>(begin_)) / width_; }
  void add(Counts& counts, Tick time);

  Tick begin_, last_arrival_;
  double width_;
  Counts arrivals_, starts_;
};

}  // namespace moesim
