#include "reports/import/expanded_grid.hpp"

#include <algorithm>
#include <map>

#include "model/rank_grid.hpp"

namespace moesim {

std::vector<GridGroup> expanded_grid(const LaunchPlan& plan) {
  const ParallelPlan& grid = plan.grid;
  std::vector<GridGroup> result;
  // `ranks` ranks from rank 0 on, `stride` apart; all groups of a kind are translations of it.
  auto add = [&](const char* name, std::int64_t ranks, std::int64_t stride) {
    if (ranks == 1) return;
    GridGroup group{name, ranks, grid.world() / ranks, {}, 1};
    std::map<std::int64_t, std::int64_t> in_node;
    for (std::int64_t i = 0; i < ranks; ++i) {
      group.first.push_back(gpu_of(grid, i * stride));
      const std::int64_t here = ++in_node[group.first.back() / plan.gpus_per_node];
      group.ranks_per_node = std::max(group.ranks_per_node, here);
    }
    std::sort(group.first.begin(), group.first.end());
    result.push_back(std::move(group));
  };
  add("tensor parallel", grid.tp, 1);
  add("context parallel", grid.cp, grid.tp);
  add("data parallel", grid.dp, grid.tp * grid.cp);
  add("pipeline", grid.pp, grid.ranks_per_stage());
  if (plan.has_experts) {
    add("expert tensor parallel", grid.expert_tp, 1);
    add("expert parallel", grid.ep, grid.expert_tp);
    add("replicas of an expert", grid.num_ep_groups(), grid.ranks_per_ep_group());
  }
  return result;
}

std::string gpu_list(const std::vector<std::int64_t>& gpus) {
  constexpr std::size_t kMostRuns = 4;
  std::vector<std::string> runs;  // of GPUs one after the other
  for (std::size_t i = 0; i < gpus.size();) {
    std::size_t end = i + 1;
    while (end < gpus.size() && gpus[end] == gpus[end - 1] + 1) ++end;
    runs.push_back(std::to_string(gpus[i]) +
                   (end - i > 1 ? "-" + std::to_string(gpus[end - 1]) : std::string()));
    i = end;
  }
  std::string text;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const bool skipped = runs.size() > kMostRuns && i >= kMostRuns - 1 && i + 1 < runs.size();
    if (skipped && i > kMostRuns - 1) continue;
    text += (i == 0 ? "" : ", ") + (skipped ? std::string("...") : runs[i]);
  }
  return text;
}

}  // namespace moesim
