// Points to a profile: every operation that has points is fitted and replaces what the base profile
// said about it; the rest is carried over from the base, by datasheet ratios where that is of
// another GPU, and says so in its source.
#pragma once

#include <string>
#include <vector>

#include "calibrate/fit/kernel_fit.hpp"
#include "calibrate/fit/segment_fit.hpp"
#include "calibrate/point.hpp"
#include "model/profile.hpp"

namespace moesim {

struct FitRequest {
  std::string id, about;
  std::optional<TileRule> rule;  // of GEMM points that do not name their own; absent: fastest
  double smoothing = 0.03;
  bool keep_points = false;  // GEMM points go into the profile, to be used as measured
  bool allow_noisy = false;  // fit a run whose repeats differ too much, and say so
  bool leave_out_disagreeing = false;
  int num_threads = 1;
};

struct FitResult {
  Profile profile;
  std::vector<KernelFit> kernels;
  std::vector<SegmentFit> groups;
  std::vector<std::string> notes;  // what was left out, carried over or looks wrong
};

// A repeat noise whose 95th percentile is above this makes a run too noisy to fit.
inline constexpr double kMostNoise = 0.05;

// `files` in the order given, at least one. InputError when they are of different GPUs, of another
// plan version or of conflicting tile rules, when a shape is one no profile may hold or disagrees
// with itself, when a run is too noisy, when an operation has fewer shapes than coefficients or
// does not follow its form, and when no point is left to fit.
FitResult fit_profile(const std::vector<PointFile>& files,
                      const GpuSpec& gpu,
                      const Profile& base,
                      const FitRequest& request);

// What a fit found, one row an operation: points, in sample, each way of leaving out, repeat noise;
// then the worst points and the notes. Markdown.
std::string fit_report(const FitResult& result);

}  // namespace moesim
