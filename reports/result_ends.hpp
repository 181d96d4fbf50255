// A scenario's result, and the results at both ends of every source of error of its calibration
// (sim/uncertainty, sim/serving/serving_uncertainty), all as documents: whatever number a question
// is about, its interval is combined of the same number at the ends.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "reports/metric.hpp"
#include "sim/uncertainty.hpp"

namespace moesim {

struct ResultEnd {
  std::string source;                // "FP8 GEMM"
  std::string basis;                 // held_out, in_sample, stated, roofline; several with commas
  std::optional<double> half_width;  // none where each kernel of a source has its own
  std::array<JsonNode, 2> results;   // fast, slow
};

struct ResultWithEnds {
  JsonNode result;  // with its intervals
  std::vector<ResultEnd> ends;
  std::string no_ends;  // why there are none
  std::string profile;  // whose errors they are
};

ResultWithEnds result_with_ends(const std::filesystem::path& scenario,
                                const Settings& settings,
                                int num_threads);

// The 90 % interval that the profile's errors leave of a metric; nothing without ends.
std::optional<Interval> interval_of(const ResultWithEnds& results, const ResultMetric& metric);

}  // namespace moesim
