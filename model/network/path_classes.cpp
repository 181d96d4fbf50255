#include "model/network/path_classes.hpp"

#include <algorithm>

namespace moesim {

std::vector<PathClass> path_classes(const Network& network) {
  std::vector<PathClass> classes;
  for (std::int64_t gpu = 1; gpu < network.num_gpus(); ++gpu) {
    const NetworkPath path = network.path(0, gpu);
    PathClass found{"", 0, path.latency, 1};
    auto pass = [&found](const char* what, std::int64_t switches) {
      found.passes += (found.passes.empty() ? "" : ", ") + std::string(what);
      found.switches += switches;
    };
    for (std::size_t i = 0; i < path.num_links; ++i) {
      switch (network.links()[path.links[i]].kind) {
        case LinkKind::nvlink_out: pass("NVLink", 0); break;
        case LinkKind::nic_out:
        case LinkKind::leaf_down: pass("leaf", 1); break;
        case LinkKind::leaf_up:
        case LinkKind::spine_down: pass("spine", 1); break;
        case LinkKind::spine_up: pass("core", 1); break;
        case LinkKind::nvlink_in:
        case LinkKind::nic_in: break;  // end at a GPU
      }
    }
    const auto known = std::find_if(classes.begin(), classes.end(), [&](const PathClass& k) {
      return k.passes == found.passes;
    });
    if (known == classes.end())
      classes.push_back(std::move(found));
    else
      ++known->gpus;
  }
  return classes;
}

}  // namespace moesim
