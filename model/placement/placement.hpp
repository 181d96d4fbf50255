// Where experts live. A rank has slots; a slot holds a replica of one expert; an expert has one
// replica or more (redundant experts: DeepSeek-V3 report, arXiv 2412.19437, section 3.4.1). One
// source file a policy, one line each in the table in placement.cpp.
//
//   contiguous   experts in order, num_experts / num_ranks on each rank
//   round_robin  expert e on rank e modulo num_ranks
//   eplb         DeepSeek's expert-parallel load balancer (deepseek-ai/EPLB, README): replicas for
//                the hottest experts, then packing by load; hierarchical (expert groups stay on a
//                node, so the node limit of routing keeps its meaning) or global. Greedy, not
//                optimal: its bounds and tie rules are in eplb.cpp
//   table        given slot by slot
//
// Left out: memory (whether a rank's slots fit is the planner's question) and the load that a
// replica really gets (traffic sends tokens to the replicas of an expert in turn; eplb plans with
// equal shares).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/json_reader.hpp"

namespace moesim {

struct Placement {
  std::int64_t num_experts = 0, num_ranks = 0, ranks_per_node = 1, slots_per_rank = 0;
  std::vector<std::int32_t> slot_to_expert;  // [num_ranks * slots_per_rank]

  std::int64_t num_slots() const { return num_ranks * slots_per_rank; }
  std::int64_t num_nodes() const { return (num_ranks + ranks_per_node - 1) / ranks_per_node; }
  std::int64_t rank_of_slot(std::int64_t slot) const { return slot / slots_per_rank; }
  std::int64_t node_of_rank(std::int64_t rank) const { return rank / ranks_per_node; }
};

// Slots of every expert, ascending: slots[first[e] .. first[e + 1]).
struct ExpertSlots {
  std::vector<std::int32_t> first, slots;
  std::span<const std::int32_t> of(std::int64_t expert) const {
    const auto e = static_cast<std::size_t>(expert);
    return {slots.data() + first[e], static_cast<std::size_t>(first[e + 1] - first[e])};
  }
};
ExpertSlots slots_of_experts(const Placement& placement);

enum class PlacementPolicy { contiguous, round_robin, eplb_hierarchical, eplb_global, table };

struct PlacementSpec {
  PlacementPolicy policy = PlacementPolicy::contiguous;
  std::int64_t redundant_experts = 0;      // extra replicas over all ranks; eplb only
  std::shared_ptr<const Placement> given = {};  // table only

  bool operator==(const PlacementSpec&) const = default;
};

// What a placement is for. load: [num_experts], in any unit, not negative; only eplb reads it. A
// last node with fewer ranks than the others is allowed, except by eplb_hierarchical. Experts of a
// group have consecutive numbers.
struct PlacementProblem {
  std::int64_t num_experts = 0, num_groups = 1, num_ranks = 1, ranks_per_node = 1;
  std::vector<double> load;
};

// Empty when the policy can place the problem, else why it cannot ("264 slots (256 experts and 8
// redundant) are not divisible by 48 ranks"), for the reader of the plan to put a place to. Reads
// no loads.
std::string placement_refusal(const PlacementSpec& spec, const PlacementProblem& problem);

// ENSUREs that there is no refusal. Under eplb a rank may hold two replicas of one expert (see
// eplb.cpp for when and why).
Placement place_experts(const PlacementSpec& spec, const PlacementProblem& problem);

// One policy: a line of the table in placement.cpp. Both functions get problems that passed the
// checks common to all policies: positive counts, redundant_experts >= 0, slots divisible by ranks.
struct PlacementMethod {
  PlacementPolicy policy;
  bool takes_redundant_experts;
  std::string (*refusal)(const PlacementSpec& spec, const PlacementProblem& problem);
  std::vector<std::int32_t> (*slots)(const PlacementSpec& spec, const PlacementProblem& problem);
};

// A placement given as a table, {"slots_per_rank": 2, "slot_to_expert": [0, 1, ...]}, rank by rank.
// InputError when the length is not num_ranks x slots_per_rank, an expert is out of range or in no
// slot, or a rank holds an expert twice (in a table written by hand that is a slip: the second
// replica takes no load off the rank).
Placement read_placement(const JsonNode& node,
                         std::int64_t num_experts,
                         std::int64_t num_ranks,
                         std::int64_t ranks_per_node);

// Reads {"policy": "eplb_global", "redundant_experts": 32} or {"policy": "table", "table": {...}}, and
// refuses at its place what these experts and ranks cannot hold.
PlacementSpec read_placement_spec(const JsonNode& node, const PlacementProblem& problem);

// What changing a placement moves: experts that a rank has in `to` and not in `from`, each fetched
// from the nearest rank that had it (the same node over NVLink, else over the network). Moving an
// expert between slots of a rank, and its second replica there, cost no transfer and do not count.
// Both placements are of the same experts, ranks and nodes (ENSURE); slots per rank may differ.
struct PlacementChange {
  std::int64_t replicas_moved = 0;          // (rank, expert) pairs new to the rank
  std::int64_t replicas_from_own_node = 0;  // of these, found on the rank's own node
  std::int64_t most_received_by_a_rank = 0;
};
PlacementChange change_between(const Placement& from, const Placement& to);

}  // namespace moesim
