#include "calibrate/fit/segment_fit.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "calibrate/fit/least_squares.hpp"
#include "model/errors.hpp"
#include "model/parallel_for.hpp"

namespace moesim {
namespace {

constexpr std::size_t kMostSegments = 4, kSizesPerSegment = 4;
constexpr int kStarts = 8;
constexpr double kSlowest = 1;  // bytes or tokens a second: a profile holds no less

// bytes of a collective, tokens of an exchange: the third axis of both.
double size_of(const Point& p) { return static_cast<double>(p.shape[2]); }

double predicted(const std::vector<double>& v, double size) {
  double best = v[0] + size / v[1];
  for (std::size_t i = 2; i < v.size(); i += 2) best = std::min(best, v[i] + size / v[i + 1]);
  return best;
}

double error_of(const std::vector<double>& v, const Point& p) {
  return std::abs(predicted(v, size_of(p)) / p.timing().median.in(s)-1);
}

std::vector<double> fit_lines(const std::vector<const Point*>& points,
                              std::size_t num_segments,
                              const std::vector<double>& start) {
  double shortest = 1e9, longest = 0, largest = 1;
  for (const Point* p : points) {
    shortest = std::min(shortest, p->timing().median.in(s));
    longest = std::max(longest, p->timing().median.in(s));
    largest = std::max(largest, size_of(*p));
  }
  // Protocols in order: the quick one with little bandwidth first.
  std::vector<Parameter> parameters;
  const double top = largest / longest;
  for (std::size_t i = 0; i < num_segments; ++i) {
    const auto rank = static_cast<double>(num_segments - 1 - i);
    parameters.push_back({"latency",
                          std::min(longest, shortest * std::pow(3.0, static_cast<double>(i))),
                          shortest / 10,
                          longest});
    const double slow = std::max(kSlowest, top * 1e-5);
    parameters.push_back(
        {"size_per_s", std::max(slow, top * std::pow(0.2, rank)), slow, std::max(slow, top * 20)});
  }
  const ErrorFunction errors = [&](const std::vector<double>& v) {
    std::vector<double> e;
    e.reserve(points.size());
    for (const Point* p : points)
      e.push_back(std::log(p->timing().median.in(s) / predicted(v, size_of(*p))));
    return e;
  };
  if (start.empty()) return least_squares_from_many(parameters, errors, kStarts);
  LeastSquaresOptions options;
  options.start = start;
  for (std::size_t i = 0; i < start.size(); ++i)
    options.start[i] = std::clamp(start[i], parameters[i].low, parameters[i].high);
  return least_squares(parameters, errors, options);
}

std::set<std::int64_t> sizes_of(const std::vector<const Point*>& points) {
  std::set<std::int64_t> sizes;
  for (const Point* p : points) sizes.insert(p->shape[2]);
  return sizes;
}

void check_sizes(const std::vector<const Point*>& points) {
  const Point& first = *points.front();
  const std::size_t num_sizes = sizes_of(points).size();
  if (num_sizes < kSizesPerSegment)
    throw InputError(first.place,
                     std::string(first.of->op) + " on " + std::to_string(first.shape[0]) +
                         " ranks, " + std::to_string(first.shape[1]) + " a node, has " +
                         std::to_string(num_sizes) + " sizes; expected at least " +
                         std::to_string(kSizesPerSegment));
}

// Errors on each size by a fit without it, one size at a time: there are few.
ErrorSummary without_each_size(const std::vector<const Point*>& points,
                               std::size_t num_segments,
                               const std::vector<double>& start) {
  std::vector<double> errors;
  for (const std::int64_t left : sizes_of(points)) {
    std::vector<const Point*> rest;
    for (const Point* p : points)
      if (p->shape[2] != left) rest.push_back(p);
    const std::vector<double> here = fit_lines(rest, num_segments, start);
    for (const Point* p : points)
      if (p->shape[2] == left) errors.push_back(error_of(here, *p));
  }
  return summarise(std::move(errors));
}

SegmentFit fit_geometry(const std::vector<const Point*>& points) {
  const Point& first = *points.front();
  SegmentFit fit;
  fit.of = first.of;
  fit.ranks = first.shape[0];
  fit.ranks_per_node = first.shape[1];
  if (first.shape.size() == 5) {
    fit.hidden = first.shape[3];
    fit.topk = first.shape[4];
    fit.sms = first.sms;
  }
  fit.num_points = points.size();
  const std::size_t num_segments =
      std::min(kMostSegments, sizes_of(points).size() / kSizesPerSegment);
  const std::vector<double> lines = fit_lines(points, num_segments, {});
  for (std::size_t i = 0; i < lines.size(); i += 2)
    fit.segments.push_back({lines[i] * s, lines[i + 1]});
  std::sort(fit.segments.begin(), fit.segments.end(), [](const Segment& x, const Segment& y) {
    return x.latency < y.latency;
  });
  std::vector<double> seen;
  double furthest = -1;
  fit.smallest = fit.largest = size_of(first);
  for (const Point* p : points) {
    seen.push_back(error_of(lines, *p));
    const Seconds measured = p->timing().median, expected = predicted(lines, size_of(*p)) * s;
    if (const double distance = std::abs(std::log(measured / expected)); distance > furthest) {
      furthest = distance;
      fit.furthest = {p->place, p->shape, measured, expected};
    }
    fit.smallest = std::min(fit.smallest, size_of(*p));
    fit.largest = std::max(fit.largest, size_of(*p));
  }
  fit.in_sample = summarise(std::move(seen));
  fit.left_out = without_each_size(points, num_segments, lines);
  fit.repeat_noise = repeat_noise(points);
  return fit;
}

}  // namespace

std::vector<SegmentFit> fit_segments(const std::vector<const Point*>& points, int num_threads) {
  std::map<std::vector<std::int64_t>, std::vector<const Point*>> geometries;
  for (const Point* p : points) {
    std::vector<std::int64_t> key = p->shape;
    key.erase(key.begin() + 2);
    key.push_back(p->sms);
    geometries[key].push_back(p);
  }
  std::vector<const std::vector<const Point*>*> list;
  for (const auto& [key, of_geometry] : geometries) list.push_back(&of_geometry);
  for (const auto* of_geometry : list) check_sizes(*of_geometry);
  std::vector<SegmentFit> fits(list.size());
  parallel_for(list.size(), num_threads, [&](std::size_t i) { fits[i] = fit_geometry(*list[i]); });
  return fits;
}

}  // namespace moesim
