#include "sim/serving/queue_trend.hpp"

#include <algorithm>
#include <cmath>

#include "model/errors.hpp"

namespace moesim {
namespace {

constexpr std::size_t kNumBins = 4096;
constexpr double kFirstWidth = 1e9;  // ticks: a millisecond

}  // namespace

QueueTrend::QueueTrend(Tick begin) : begin_(begin), last_arrival_(begin), width_(kFirstWidth) {
  for (Counts* const counts : {&arrivals_, &starts_}) {
    counts->count.assign(kNumBins, 0);
    counts->offset.assign(kNumBins, 0);
  }
}

void QueueTrend::Counts::add(std::size_t bin, double at) {
  count[bin] += 1;
  offset[bin] += at;
}

void QueueTrend::Counts::halve(double width) {
  for (std::size_t i = 0; i < kNumBins / 2; ++i) {
    offset[i] = offset[2 * i] + offset[2 * i + 1] + count[2 * i + 1] * width;
    count[i] = count[2 * i] + count[2 * i + 1];
  }
  std::fill(count.begin() + kNumBins / 2, count.end(), 0);
  std::fill(offset.begin() + kNumBins / 2, offset.end(), 0);
}

void QueueTrend::add(Counts& counts, Tick time) {
  ENSURE(time >= begin_);
  while (bins_at(static_cast<double>(time)) >= kNumBins) {
    arrivals_.halve(width_);
    starts_.halve(width_);
    width_ *= 2;
  }
  const double bins = bins_at(static_cast<double>(time));
  const auto bin = static_cast<std::size_t>(bins);
  counts.add(bin, (bins - static_cast<double>(bin)) * width_);
}

void QueueTrend::waited(Tick arrival, Tick until) {
  last_arrival_ = std::max(last_arrival_, arrival);
  add(arrivals_, arrival);
  add(starts_, until);
}

double QueueTrend::Counts::before(double bins) const {
  const auto whole = std::min(static_cast<std::size_t>(bins), kNumBins - 1);
  double sum = 0;
  for (std::size_t i = 0; i < whole; ++i) sum += count[i];
  return sum + count[whole] * (bins - static_cast<double>(whole));
}

// At a bin's end exact: each event before adds the time since it.
double QueueTrend::Counts::integral(double bins, double width) const {
  const auto whole = std::min(static_cast<std::size_t>(bins), kNumBins - 1);
  double sum = 0, events = 0;
  for (std::size_t i = 0; i < whole; ++i) {
    sum += events * width + count[i] * width - offset[i];
    events += count[i];
  }
  const double part = bins - static_cast<double>(whole);
  return sum + part * (events * width + count[whole] * width - offset[whole]);
}

std::vector<double> QueueTrend::mean_waiting(std::size_t pieces) const {
  const double piece =
      static_cast<double>(last_arrival_ - begin_) / static_cast<double>(pieces);
  std::vector<double> means;
  if (piece <= 0) return means;
  double last = 0;
  for (std::size_t i = 1; i <= pieces; ++i) {
    const double bins = piece * static_cast<double>(i) / width_;
    const double now = arrivals_.integral(bins, width_) - starts_.integral(bins, width_);
    means.push_back(std::max(0.0, (now - last) / piece));
    last = now;
  }
  return means;
}

double QueueTrend::arrivals() const { return arrivals_.before(kNumBins); }

double QueueTrend::late_arrivals() const {
  const double end = bins_at(static_cast<double>(last_arrival_));
  return std::max(0.0, arrivals() - arrivals_.before(end / 2));
}

double QueueTrend::waiting_at_last_arrival() const {
  const double end = bins_at(static_cast<double>(last_arrival_));
  return std::max(0.0, arrivals() - starts_.before(end));
}

}  // namespace moesim
