#include "model/block_cost.hpp"

#include <algorithm>

namespace moesim {
namespace {

Loss inefficiency(const Op& op) {
  if (op.category == Category::attention) return Loss::attention_efficiency;
  return op.pass == Pass::weight_grad ? Loss::wgrad_efficiency : Loss::gemm_efficiency;
}

}  // namespace

BlockCost cost_of(const OpList& ops, const CostModel& model, const SmShare& share) {
  CostCache costs(model);
  return cost_of(ops, costs, share);
}

BlockCost cost_of(const OpList& ops, CostCache& costs, const SmShare& share) {
  const CostModel& model = costs.model();
  std::array<Seconds, kNumCategories> seconds{};
  BlockCost block;
  auto lose = [&](Loss loss, Seconds t) {
    block.seconds_by_loss[static_cast<std::size_t>(loss)] += t.in(s);
  };
  for (const Op& op : ops) {
    const Cost cost = costs.cost(op, share);
    seconds[static_cast<std::size_t>(op.category)] += cost.time;
    seconds[static_cast<std::size_t>(Category::launch_gap)] += model.gaps(op);
    block.seconds_by_origin[static_cast<std::size_t>(cost.origin)] += cost.time.in(s);
    const Seconds ideal = model.ideal_time(op);
    if (ideal == Seconds()) {
      lose(Loss::non_matrix, cost.time);
      continue;
    }
    const Seconds partition =
        ideal *
        (static_cast<double>(model.gpu().num_sms) / static_cast<double>(share.compute_sms) - 1);
    lose(op.pass == Pass::recompute ? Loss::recompute : Loss::model_work, ideal);
    lose(Loss::sm_partition, partition);
    lose(inefficiency(op), cost.time - ideal - partition);
  }
  for (std::size_t c = 0; c < kNumCategories; ++c) {
    block.by_category[c] = to_tick(seconds[c]);
    block.duration += block.by_category[c];
  }
  return block;
}

}  // namespace moesim
