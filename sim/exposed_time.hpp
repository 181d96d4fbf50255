// How long the collectives of a block (model/block_collectives) stop it.
//
// Alone, one takes what the profile measured for its kind, geometry and size, where it did on equal
// NVLink; else ring_time (all-reduce: twice), the direct all-to-all or a message, at the sustained
// rates of the links between the ranks as the rank order places them. What hides behind an
// operation of the layer counts only as far as it takes longer than that operation, or the part of
// it that is there for each. A weight gradient hides something of the backward block only under
// schedules that keep both together (GPipe, 1F1B, interleaved); the others put it elsewhere.
//
// Left out: SMs the collective takes from the operation it hides behind, contention with dispatch
// and with gradients.
#pragma once

#include <vector>

#include "model/block_collectives.hpp"
#include "model/cost_model.hpp"
#include "model/parallel_plan.hpp"

namespace moesim {

// Whether a schedule's weight gradients come right after their input gradients.
bool weights_follow(ScheduleKind schedule);

class ExposedTime {
 public:
  // All are kept by reference.
  ExposedTime(const Profile& profile, const ClusterSpec& cluster, const ParallelPlan& plan);

  // One of `count`, with nothing beside it.
  Seconds alone(const BlockCollective& collective) const;
  // `layer`: whose block they belong to.
  Tick of(const std::vector<BlockCollective>& collectives,
          const LayerOps& layer,
          CostCache& costs,
          const SmShare& share) const;

 private:
  const Profile& profile_;
  const ClusterSpec& cluster_;
  const ParallelPlan& plan_;
  LinkRates links_;
  bool weights_follow_ = false;
};

}  // namespace moesim
