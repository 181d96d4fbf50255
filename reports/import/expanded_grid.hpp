// The rank grids of an imported plan, expanded: every kind of group, how many there are, where the
// first one lies, and whether it stays on a node.
#pragma once

#include <string>
#include <vector>

#include "reports/import/launcher.hpp"

namespace moesim {

struct GridGroup {
  std::string name;                 // "tensor parallel"
  std::int64_t ranks = 1;           // of one group
  std::int64_t groups = 1;          // in the world
  std::vector<std::int64_t> first;  // [ranks] GPUs of the first group
  std::int64_t ranks_per_node = 1;  // of the first group, in its fullest node
  bool on_one_node() const { return ranks_per_node == ranks; }
};
// Kinds of more than one rank.
std::vector<GridGroup> expanded_grid(const LaunchPlan& plan);

// "0-7", "0, 8, 16, ..., 56", "0-3, 32-35".
std::string gpu_list(const std::vector<std::int64_t>& gpus);

}  // namespace moesim
