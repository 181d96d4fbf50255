// The different ways from GPU 0 to the other GPUs of a network, for people who read a topology.
#pragma once

#include <string>
#include <vector>

#include "model/network/network.hpp"

namespace moesim {

struct PathClass {
  std::string passes;         // "NVLink", "leaf, spine, leaf"
  std::int64_t switches = 0;  // of the network; NVLink's are not counted
  Seconds latency;
  std::int64_t gpus = 0;  // that GPU 0 reaches like this
};

// In the order in which they are met as GPUs count up: the own node first.
std::vector<PathClass> path_classes(const Network& network);

}  // namespace moesim
