// DeepSeek's expert-parallel load balancer, from its published description (deepseek-ai/EPLB,
// README, "The Algorithm"). Two greedy steps:
//   replicate  every extra replica goes to the expert with the largest load per replica; this
//              makes the heaviest replica as light as any choice of replica counts can
//   pack       replicas, heaviest first, each onto the rank with the least load that has a free
//              slot; every rank gets the same number
// Hierarchical: expert groups are packed onto nodes in the same way first, then both steps run
// inside each node with an equal share of the slots. Global: the same with one node and one group.
//
// Bound: packing leaves at most the heaviest item between the fullest pack P and any pack Q, so on
// R ranks of one node the fullest has at most mean + (1 - 1/R) x heaviest replica. Proof: compare
// the l-th items of P and Q, p_l and q_l. Where Q had l items before P got p_l, q_l >= p_l
// (heaviest first). At the last l where it had fewer, Q had room, so P was no heavier than Q: over
// the first l items P leads by at most p_l, and no later pair adds to that. It is not always better
// than contiguous, which can be perfect by luck.
//
// Ties: of equal loads per replica the lower expert gets the replica; of equal groups the lower is
// packed first, of equal replicas the one made first (one of every expert in order, then the extra
// ones); of equal packs the lower takes the item.
//
// Two replicas of one expert may land on one rank, as in the published algorithm: packing sees
// loads, not experts. Loads 10, 9, 1 with one extra replica on two ranks give {9, 1} and {5, 5};
// one replica of the first on each rank would give {9, 5} and {5, 1}, so forbidding it can cost
// balance. The slot is wasted then, but the load that ranks see is as planned.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <queue>

#include "model/placement/placement.hpp"

namespace moesim {

namespace {

using Indices = std::vector<std::int32_t>;

// Packs of equally many items; the items of a pack in the order in which it got them.
std::vector<Indices> pack(const std::vector<double>& weight, std::int64_t num_packs) {
  const std::size_t capacity = weight.size() / static_cast<std::size_t>(num_packs);
  ENSURE(weight.size() == capacity * static_cast<std::size_t>(num_packs));
  std::vector<Indices> packs(static_cast<std::size_t>(num_packs));
  Indices order(weight.size());
  std::iota(order.begin(), order.end(), 0);
  // One item each: all orders are equally balanced, and a fixed one moves nothing at the next
  // rebalancing.
  if (capacity > 1)
    std::stable_sort(
        order.begin(), order.end(), [&](auto a, auto b) { return weight[a] > weight[b]; });

  using Pack = std::pair<double, std::size_t>;  // load, index: the least of both is on top
  std::priority_queue<Pack, std::vector<Pack>, std::greater<>> open;
  for (std::size_t p = 0; p < packs.size(); ++p) open.push({0, p});
  for (const std::int32_t item : order) {
    const auto [load, p] = open.top();
    open.pop();
    packs[p].push_back(item);
    if (packs[p].size() < capacity) open.push({load + weight[item], p});
  }
  return packs;
}

// load: [experts]. Each expert once, in order, then the extra replicas in the order they are given.
Indices replicate(const std::vector<double>& load, std::int64_t num_replicas) {
  Indices replica_to_expert(load.size());
  std::iota(replica_to_expert.begin(), replica_to_expert.end(), 0);

  struct Candidate {
    double load_per_replica;
    std::int32_t expert, replicas;
    bool operator<(const Candidate& other) const {
      return load_per_replica != other.load_per_replica ? load_per_replica < other.load_per_replica
                                                        : expert > other.expert;
    }
  };
  std::priority_queue<Candidate> hottest;
  for (const std::int32_t e : replica_to_expert) hottest.push({load[e], e, 1});
  while (std::ssize(replica_to_expert) < num_replicas) {
    const Candidate top = hottest.top();
    hottest.pop();
    replica_to_expert.push_back(top.expert);
    hottest.push({load[top.expert] / (top.replicas + 1), top.expert, top.replicas + 1});
  }
  return replica_to_expert;
}

// Appends the slots of one node, which serves `experts`: [ranks of the node * slots per rank].
void place_on_node(const Indices& experts,
                   const std::vector<double>& load,
                   std::int64_t num_ranks,
                   std::int64_t slots_per_rank,
                   Indices& slots) {
  std::vector<double> own_load;
  for (const std::int32_t e : experts) own_load.push_back(load[e]);
  const Indices replica_to_expert = replicate(own_load, num_ranks * slots_per_rank);
  std::vector<double> num_replicas(experts.size()), weight;
  for (const std::int32_t e : replica_to_expert) num_replicas[e] += 1;
  for (const std::int32_t e : replica_to_expert) weight.push_back(own_load[e] / num_replicas[e]);
  for (const Indices& rank : pack(weight, num_ranks))
    for (const std::int32_t replica : rank) slots.push_back(experts[replica_to_expert[replica]]);
}

Indices place(const PlacementSpec& spec,
              const PlacementProblem& problem,
              std::int64_t num_groups,
              std::int64_t num_nodes) {
  ENSURE(std::ssize(problem.load) == problem.num_experts);
  for (const double load : problem.load) ENSURE(std::isfinite(load) && load >= 0);
  const std::int64_t group_size = problem.num_experts / num_groups;
  std::vector<double> group_load;
  for (auto first = problem.load.begin(); first != problem.load.end(); first += group_size)
    group_load.push_back(std::accumulate(first, first + group_size, 0.0));

  const std::int64_t slots_per_rank =
      (problem.num_experts + spec.redundant_experts) / problem.num_ranks;
  Indices slots;
  for (Indices& groups : pack(group_load, num_nodes)) {
    std::sort(groups.begin(), groups.end());  // ties go to the lower expert, not the heavier group
    Indices experts;
    for (const std::int32_t group : groups)
      for (std::int64_t e = 0; e < group_size; ++e)
        experts.push_back(static_cast<std::int32_t>(group * group_size + e));
    place_on_node(experts, problem.load, problem.num_ranks / num_nodes, slots_per_rank, slots);
  }
  return slots;
}

std::int64_t num_nodes(const PlacementProblem& problem) {
  return (problem.num_ranks + problem.ranks_per_node - 1) / problem.ranks_per_node;
}

std::string not_divisible(std::int64_t a,
                          const std::string& things,
                          std::int64_t b,
                          const std::string& parts) {
  if (a % b == 0) return "";
  return std::to_string(a) + " " + things + " are not divisible by " + std::to_string(b) + " " +
         parts;
}

std::string hierarchical_refusal(const PlacementSpec& spec, const PlacementProblem& problem) {
  const std::int64_t nodes = num_nodes(problem);
  if (nodes > 1 && problem.num_ranks % problem.ranks_per_node != 0)
    return not_divisible(problem.num_ranks, "ranks", problem.ranks_per_node, "ranks a node");
  std::string uneven =
      not_divisible(problem.num_experts, "experts", problem.num_groups, "expert groups");
  if (uneven.empty()) uneven = not_divisible(problem.num_groups, "expert groups", nodes, "nodes");
  if (!uneven.empty()) return uneven;
  // A rank serves the experts of its node only: more slots would hold one of them twice.
  const std::int64_t slots_per_rank =
      (problem.num_experts + spec.redundant_experts) / problem.num_ranks;
  if (slots_per_rank > problem.num_experts / nodes)
    return std::to_string(slots_per_rank) + " slots a rank are more than the " +
           std::to_string(problem.num_experts / nodes) + " experts of its node";
  return "";
}

}  // namespace

extern const PlacementMethod kEplbHierarchical, kEplbGlobal;
const PlacementMethod kEplbHierarchical{
    PlacementPolicy::eplb_hierarchical,
    true,
    hierarchical_refusal,
    [](const PlacementSpec& spec, const PlacementProblem& problem) {
      return place(spec, problem, problem.num_groups, num_nodes(problem));
    }};
const PlacementMethod kEplbGlobal{
    PlacementPolicy::eplb_global,
    true,
    [](const PlacementSpec&, const PlacementProblem&) { return std::string(); },
    [](const PlacementSpec& spec, const PlacementProblem& problem) {
      return place(spec, problem, 1, 1);
    }};

}  // namespace moesim
