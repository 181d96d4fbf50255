#include "sim/serving/value_sample.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "model/errors.hpp"

namespace moesim {
namespace {

// Bins by the leading bits of a double: 10 bits of mantissa, exponents from 2^-40 (a picosecond) to
// 2^40.
constexpr int kMantissaBits = 10, kLeastExponent = -40, kNumExponents = 80;
constexpr std::size_t kNumBins = (std::size_t{kNumExponents} << kMantissaBits) + 1;

std::size_t bin_of(double value) {
  const auto least = static_cast<std::int64_t>(1023 + kLeastExponent) << kMantissaBits;
  const auto bits = std::bit_cast<std::uint64_t>(value) >> (52 - kMantissaBits);
  const std::int64_t at = static_cast<std::int64_t>(bits) - least + 1;
  return static_cast<std::size_t>(
      std::clamp<std::int64_t>(at, 0, static_cast<std::int64_t>(kNumBins) - 1));
}

double middle_of(std::size_t bin) {
  if (bin == 0) return 0;
  const std::size_t at = bin - 1;
  const double mantissa =
      1 + (static_cast<double>(at & ((1U << kMantissaBits) - 1)) + 0.5) / (1U << kMantissaBits);
  return std::ldexp(mantissa, static_cast<int>(at >> kMantissaBits) + kLeastExponent);
}

// As numpy does it, to the last bit.
double between(double a, double b, double part) {
  return part < 0.5 ? a + (b - a) * part : b - (b - a) * (1 - part);
}

}  // namespace

double Distribution::percentile(double p) const {
  for (const auto& [asked, value] : percentiles) {
    if (asked == p) return value;
  }
  ENSURE(p == 50 || count == 0);
  return median;
}

ValueSample::ValueSample(std::size_t exact_limit, bool is_weighted)
    : limit_(exact_limit), is_weighted_(is_weighted) {}

void ValueSample::add(double value, std::int64_t count) {
  ENSURE(value >= 0);
  if (count == 0) return;
  if (count_ == 0) first_ = min_ = max_ = value;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
  count_ += count;
  const double step = value - first_, weight = static_cast<double>(count);
  sum_ += step * weight;
  squares_ += step * step * weight;
  if (has_bins_) {
    to_bin(value, count);
  } else if (is_weighted_) {
    if (!weighted_.empty() && weighted_.back().first == value) {
      weighted_.back().second += count;
      return;
    }
    weighted_.emplace_back(value, count);
    if (weighted_.size() > limit_) compact();
  } else {
    ENSURE(count == 1);
    values_.push_back(value);
    if (values_.size() > limit_) to_bins();
  }
}

void ValueSample::to_bin(double value, std::int64_t count) { bins_[bin_of(value)] += count; }

void ValueSample::to_bins() {
  has_bins_ = true;
  bins_.assign(kNumBins, 0);
  for (const double value : values_) to_bin(value, 1);
  for (const Weighted& one : weighted_) to_bin(one.first, one.second);
  values_ = {};
  weighted_ = {};
}

// Equal values become one; with too few of them equal, the bins take over.
void ValueSample::compact() {
  std::sort(weighted_.begin(), weighted_.end());
  std::size_t kept = 0;
  for (std::size_t i = 1; i < weighted_.size(); ++i) {
    if (weighted_[i].first == weighted_[kept].first) {
      weighted_[kept].second += weighted_[i].second;
    } else {
      weighted_[++kept] = weighted_[i];
    }
  }
  weighted_.resize(kept + 1);
  if (weighted_.size() > limit_ / 2) to_bins();
}

std::vector<double> ValueSample::at_ranks(const std::vector<std::int64_t>& ranks) const {
  std::vector<double> found;
  if (!has_bins_ && !is_weighted_) {
    for (const std::int64_t rank : ranks) found.push_back(values_[static_cast<std::size_t>(rank)]);
    return found;
  }
  const std::size_t size = has_bins_ ? bins_.size() : weighted_.size();
  const auto weight = [&](std::size_t i) { return has_bins_ ? bins_[i] : weighted_[i].second; };
  std::int64_t below = 0;
  std::size_t at = 0;
  for (const std::int64_t rank : ranks) {
    while (at < size && below + weight(at) <= rank) below += weight(at++);
    ENSURE(at < size);
    found.push_back(has_bins_ ? std::clamp(middle_of(at), min_, max_) : weighted_[at].first);
  }
  return found;
}

Distribution ValueSample::distribution(const std::vector<double>& percentiles) {
  Distribution result;
  result.count = count_;
  result.is_exact = !has_bins_;
  if (count_ == 0) {
    for (const double p : percentiles) result.percentiles.emplace_back(p, 0);
    return result;
  }
  const auto n = static_cast<double>(count_);
  result.mean = first_ + sum_ / n;
  result.sum = first_ * n + sum_;
  result.deviation = std::sqrt(std::max(0.0, squares_ - sum_ * sum_ / n) / n);
  result.min = min_;
  result.max = max_;
  std::sort(values_.begin(), values_.end());
  std::sort(weighted_.begin(), weighted_.end());

  std::vector<double> asked = percentiles;
  for (int p = 0; p <= 100; ++p) asked.push_back(p);
  std::sort(asked.begin(), asked.end());
  std::vector<std::int64_t> ranks;
  std::vector<double> parts;
  for (const double p : asked) {
    const double place = static_cast<double>(count_ - 1) * (p / 100);
    const auto below = static_cast<std::int64_t>(place);
    ranks.push_back(below);
    ranks.push_back(std::min(below + 1, count_ - 1));
    parts.push_back(place - static_cast<double>(below));
  }
  std::vector<std::int64_t> ascending = ranks;
  std::sort(ascending.begin(), ascending.end());
  const std::vector<double> found = at_ranks(ascending);
  const auto at = [&](std::int64_t rank) {
    return found[static_cast<std::size_t>(
        std::lower_bound(ascending.begin(), ascending.end(), rank) - ascending.begin())];
  };
  const auto value_at = [&](double p) {
    const auto i = static_cast<std::size_t>(std::lower_bound(asked.begin(), asked.end(), p) -
                                            asked.begin());
    return between(at(ranks[2 * i]), at(ranks[2 * i + 1]), parts[i]);
  };
  for (const double p : percentiles) result.percentiles.emplace_back(p, value_at(p));
  for (int p = 0; p <= 100; ++p) result.curve.push_back(value_at(p));
  result.median = value_at(50);
  return result;
}

}  // namespace moesim
