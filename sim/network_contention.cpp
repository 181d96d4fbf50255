#include "sim/network_contention.hpp"

#include <algorithm>

#include "model/network/fabric_layout.hpp"
#include "model/rank_grid.hpp"
#include "sim/messages.hpp"

namespace moesim {
namespace {

// Sharing is compared, not distance: times that the factors multiply have their latency already.
ClusterSpec with_one_latency(ClusterSpec cluster) {
  cluster.same_leaf_latency = std::nullopt;
  return cluster;
}

// All NICs of a plane on one switch.
ClusterSpec without_blocking(ClusterSpec cluster) {
  cluster.fabric.switch_ports = 2 * cluster.num_gpus();
  cluster.fabric.oversubscription = 1;
  cluster.fabric.routing = FabricRouting::adaptive;
  cluster.fabric.failed_nics.clear();
  cluster.fabric.failed_uplinks.clear();
  return cluster;
}

// Two networks of the same nodes, and how much longer messages take on the first.
class Comparison {
 public:
  Comparison(const ClusterSpec& cluster, const LinkRates& links)
      : real_(with_one_latency(cluster), links),
        ideal_(without_blocking(with_one_latency(cluster)), links) {}

  // How much later the last of these messages ends, all of them being under way at once. copy: of a
  // GPU's SMs.
  double slowdown(const std::vector<Message>& messages,
                  const std::optional<Bandwidth>& copy = {}) const {
    if (messages.empty()) return 1;
    const MessageEnds real = simulate_messages(real_, messages, {copy, {}}),
                      ideal = simulate_messages(ideal_, messages, {copy, {}});
    return std::max(1.0, static_cast<double>(real.last) / static_cast<double>(ideal.last));
  }

 private:
  Network real_, ideal_;
};

// Each rank sends `bytes` to the rank `distance` further on in its stage, the last ones to the
// first.
std::vector<Message> ring_step(const ParallelPlan& plan, std::int64_t distance, Bytes bytes) {
  std::vector<Message> messages;
  const std::int64_t n = plan.ranks_per_stage();
  if (distance >= n) return messages;
  for (std::int64_t stage = 0; stage < plan.pp; ++stage)
    for (std::int64_t r = 0; r < n; ++r)
      messages.push_back({gpu_of(plan, stage * n + r),
                          gpu_of(plan, stage * n + (r + distance) % n),
                          bytes,
                          false,
                          0});
  return messages;
}

}  // namespace

NetworkContention network_contention(const Scenario& scenario,
                                     const TrainingPhase& phase,
                                     const RoutingSampler* sampler) {
  NetworkContention result;
  const ClusterSpec& cluster = scenario.cluster;
  // Topologies that are only counted are refused by the network below.
  const bool is_simulated = cluster.num_nodes == 1 || is_fat_tree(cluster.fabric.topology);
  if (is_simulated && fabric_blocking(cluster).empty()) return result;
  const ParallelPlan& plan = phase.plan;
  const CommModel& comm = scenario.profile.comm;
  const Comparison comparison(cluster, link_rates(cluster, comm));
  const std::int64_t tokens = chunk_shape(scenario.model, plan, phase.seq_len).own_tokens(),
                     n = plan.ranks_per_stage();

  if (sampler != nullptr && plan.ep > 1) {
    const ExpertMessage row = expert_message(scenario.model, plan.recipe);
    std::vector<Message> dispatch, combine;
    // Neighbours that share an expert exchange with those of the same index in their groups of
    // expert_tp; `first` is the first of them.
    auto append = [&](const ExpertTraffic& traffic,
                      std::int64_t first,
                      Bytes bytes,
                      std::vector<Message>& all) {
      for (Message message : expert_messages(traffic, 0, bytes)) {
        message.source = gpu_of(plan, first + message.source * plan.expert_tp);
        message.destination = gpu_of(plan, first + message.destination * plan.expert_tp);
        all.push_back(message);
      }
    };
    for (std::int64_t g = 0; g < plan.pp * plan.num_ep_groups(); ++g)
      for (std::int64_t j = 0; j < plan.expert_tp; ++j) {
        const std::int64_t first = g * plan.ranks_per_ep_group() + j;
        const ExpertTraffic traffic = expert_traffic(
            sampler->sample_rows(tokens, g * plan.expert_tp + j, 0, 0), ExpertAlgorithm::two_hop);
        append(traffic, first, row.dispatch, dispatch);
        append(mirrored(traffic), first, row.combine, combine);
      }
    result.dispatch = comparison.slowdown(dispatch, copy_rate(comm.dispatch_per_sm, plan.comm_sms));
    result.combine = comparison.slowdown(combine, copy_rate(comm.combine_per_sm, plan.comm_sms));
  }
  const Bytes activations = static_cast<double>(tokens * scenario.model.hidden * 2) * B;
  std::vector<Message> sends;
  for (std::int64_t r = 0; r + n < plan.world(); ++r)
    sends.push_back({gpu_of(plan, r), gpu_of(plan, r + n), activations, false, 0});
  result.send = comparison.slowdown(sends);
  // Rings go from node to node, through all NICs of a node at once; what they send is cut into
  // pieces, of which one is enough to compare.
  const std::int64_t next_node = std::min(n, cluster.gpus_per_node);
  result.dense_ring = comparison.slowdown(ring_step(plan, next_node, activations));
  result.expert_ring = comparison.slowdown(
      ring_step(plan, std::max(plan.ranks_per_ep_group(), next_node), activations));
  return result;
}

}  // namespace moesim
