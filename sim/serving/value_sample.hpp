// Mean, spread and percentiles of many values. Exact up to a limit: percentiles are those of
// numpy.percentile with its default, linear interpolation between order statistics, which vLLM's
// benchmark prints. Beyond the limit values go into bins of 2^-10 relative width, and a percentile
// is the middle of its bin: right to 0.1 %. Mean, standard deviation and extremes stay exact.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace moesim {

struct Distribution {
  std::int64_t count = 0;
  // All 0 when nothing was counted, as vLLM has it. `deviation` divides by the count (numpy.std).
  double mean = 0, deviation = 0, min = 0, max = 0, median = 0, sum = 0;
  std::vector<std::pair<double, double>> percentiles;  // {99, value}, as asked for
  std::vector<double> curve;  // percentiles 0, 1, 2 ... 100, for charts; none without values
  bool is_exact = true;
  double percentile(double p) const;  // one of those, or 50
};

class ValueSample {
 public:
  // `is_weighted` for values that come many at a time: equal ones are then kept once.
  explicit ValueSample(std::size_t exact_limit, bool is_weighted = false);
  void add(double value) { add(value, 1); }
  void add(double value, std::int64_t count);  // value >= 0

  std::int64_t count() const { return count_; }
  Distribution distribution(const std::vector<double>& percentiles);

 private:
  using Weighted = std::pair<double, std::int64_t>;
  void to_bins();
  void to_bin(double value, std::int64_t count);
  void compact();
  // Order statistics at ranks [count] that ascend.
  std::vector<double> at_ranks(const std::vector<std::int64_t>& ranks) const;

  std::size_t limit_;
  bool is_weighted_, has_bins_ = false;
  std::vector<double> values_;
  std::vector<Weighted> weighted_;
  std::vector<std::int64_t> bins_;  // the first is for what is too small for the others
  std::int64_t count_ = 0;
  // Sums of deviations from the first value, and of their squares: no division a value, and no
  // cancellation when values are large and alike.
  double first_ = 0, sum_ = 0, squares_ = 0, min_ = 0, max_ = 0;
};

}  // namespace moesim
