#include "sim/exposed_time.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "model/errors.hpp"
#include "model/rank_grid.hpp"

namespace moesim {
namespace {

GroupPlace place_of(SharingGroup group, const ParallelPlan& plan, const ClusterSpec& cluster) {
  switch (group) {
    case SharingGroup::tp: return tp_group(plan, cluster);
    case SharingGroup::cp: return cp_group(plan, cluster);
    case SharingGroup::expert_tp: return expert_tp_group(plan, cluster);
  }
  throw std::logic_error("collective without a group");
}

// As points and profiles call it (calibrate/cases); nobody measures the hops of a ring alone.
std::optional<std::string_view> measured_name(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::all_gather: return "all_gather";
    case CollectiveKind::reduce_scatter: return "reduce_scatter";
    case CollectiveKind::all_reduce: return "all_reduce";
    case CollectiveKind::all_to_all: return "all_to_all";
    default: return std::nullopt;
  }
}

}  // namespace

bool weights_follow(ScheduleKind schedule) {
  return schedule == ScheduleKind::gpipe || schedule == ScheduleKind::one_f_one_b ||
         schedule == ScheduleKind::interleaved_1f1b;
}

ExposedTime::ExposedTime(const Profile& profile,
                         const ClusterSpec& cluster,
                         const ParallelPlan& plan)
    : profile_(profile),
      cluster_(cluster),
      plan_(plan),
      links_(link_rates(cluster, profile.comm)),
      weights_follow_(weights_follow(plan.schedule)) {}

Seconds ExposedTime::alone(const BlockCollective& c) const {
  const GroupPlace place = place_of(c.group, plan_, cluster_);
  const auto name = measured_name(c.kind);
  if (name && profile_.gpu.nvlink_bandwidth == cluster_.gpu.nvlink_bandwidth)
    if (const GroupFit* fit =
            find_group(profile_.groups, *name, place.ranks, place.per_node, c.bytes.in(B)))
      return group_time(*fit, c.bytes.in(B));
  switch (c.kind) {
    case CollectiveKind::all_gather:
    case CollectiveKind::reduce_scatter:
      return ring_time(cluster_, links_, c.bytes, place.ranks, place.per_node);
    case CollectiveKind::all_reduce:
      return 2 * ring_time(cluster_, links_, c.bytes, place.ranks, place.per_node);
    case CollectiveKind::all_to_all:
      return collective_time({c.kind,
                              CollectiveAlgorithm::direct,
                              {place.ranks, std::gcd(place.ranks, place.per_node)},
                              c.bytes},
                             collective_links(cluster_, links_));
    case CollectiveKind::send:  // the slowest hop of the ring
      return send_time(cluster_, links_, c.bytes, place.per_node == place.ranks);
    case CollectiveKind::broadcast: break;
  }
  throw std::logic_error("no block has such a collective");
}

Tick ExposedTime::of(const std::vector<BlockCollective>& collectives,
                     const LayerOps& layer,
                     CostCache& costs,
                     const SmShare& share) const {
  Tick sum = 0;
  for (const BlockCollective& c : collectives) {
    Seconds hidden;
    if (const Op* op = find_op(layer, c.beside);
        op != nullptr && (op->pass != Pass::weight_grad || weights_follow_))
      hidden = (1 / static_cast<double>(c.parts)) * costs.cost(*op, share).time;
    sum += c.count * to_tick(std::max(Seconds(), alone(c) - hidden));
  }
  return sum;
}

}  // namespace moesim
