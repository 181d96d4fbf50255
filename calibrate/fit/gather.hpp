// Which points a fit uses: those of one GPU and of this plan version that carry no flag, by
// operation. What contradicts itself is refused, or left out where the request says so; nothing is
// averaged.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "calibrate/fit/fit_profile.hpp"

namespace moesim {

struct Gathered {
  std::map<const Case*, std::vector<const Point*>> points;  // to fit
  std::map<const Case*, std::vector<const Point*>> beside;  // of kernels beside communication
  std::map<const Case*, std::set<std::string>> sources;
  std::map<const Case*, TileRule> rules;  // of GEMMs
  ProfileKind kind = ProfileKind::measured;
};

// `notes`: what was not used, and why.
Gathered gather(const std::vector<PointFile>& files,
                const GpuSpec& gpu,
                const FitRequest& request,
                std::vector<std::string>& notes);

}  // namespace moesim
