// Collectives and expert exchanges of one geometry: time by size as the minimum of up to four
// straight lines (model/kernel_model, Segment), with the error on sizes left out.
#pragma once

#include <string>
#include <vector>

#include "calibrate/fit/held_out.hpp"
#include "calibrate/fit/kernel_fit.hpp"
#include "calibrate/point.hpp"
#include "model/kernel_model.hpp"

namespace moesim {

struct SegmentFit {
  const Case* of = nullptr;
  std::int64_t ranks = 0, ranks_per_node = 0;
  std::int64_t hidden = 0, topk = 0, sms = 0;  // of an expert exchange; 0 for collectives
  std::vector<Segment> segments;               // by latency
  double smallest = 0, largest = 0;            // sizes measured
  std::size_t num_points = 0;
  ErrorSummary in_sample, left_out;
  FurthestPoint furthest;
  std::optional<ErrorSummary> repeat_noise;
};

// One fit for each geometry among the points of one case. InputError when a geometry has fewer than
// four sizes.
std::vector<SegmentFit> fit_segments(const std::vector<const Point*>& points, int num_threads);

}  // namespace moesim
