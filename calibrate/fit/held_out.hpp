// How wrong a fit is on what it has not seen: samples are left out group by group (all of one level
// of m, all of one weight shape), the fit is repeated without them, and they are predicted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace moesim {

// Of |predicted / measured - 1|.
struct ErrorSummary {
  std::size_t num_points = 0;
  double median = 0, p90 = 0, p95 = 0, max = 0;
};
ErrorSummary summarise(std::vector<double> relative_errors);
std::string percent_text(double fraction);  // "2.1 %"

// Linear interpolation between order statistics (Hyndman and Fan's type 7).
double quantile(const std::vector<double>& ascending, double p);

inline constexpr std::size_t kMostFolds = 40;

// Samples with equal keys share a fold; no more than kMostFolds, dealt out from a fixed seed.
std::vector<std::size_t> folds_by_key(const std::vector<std::vector<std::int64_t>>& keys);

}  // namespace moesim
