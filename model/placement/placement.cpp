#include "model/placement/placement.hpp"

#include <algorithm>
#include <limits>

namespace moesim {

extern const PlacementMethod kContiguous, kRoundRobin, kEplbHierarchical, kEplbGlobal;

namespace {

const PlacementMethod& method_of(PlacementPolicy policy) {
  static const PlacementMethod* const kTable[] = {
      &kContiguous, &kRoundRobin, &kEplbHierarchical, &kEplbGlobal};
  for (const PlacementMethod* method : kTable)
    if (method->policy == policy) return *method;
  throw std::logic_error("placement policy missing from the table");
}

}  // namespace

ExpertSlots slots_of_experts(const Placement& placement) {
  const auto num_experts = static_cast<std::size_t>(placement.num_experts);
  ExpertSlots result{std::vector<std::int32_t>(num_experts + 1),
                     std::vector<std::int32_t>(placement.slot_to_expert.size())};
  for (const std::int32_t e : placement.slot_to_expert) ++result.first[e + 1];
  for (std::size_t e = 0; e < num_experts; ++e) result.first[e + 1] += result.first[e];
  std::vector<std::int32_t> next(result.first.begin(), result.first.end() - 1);
  for (std::size_t slot = 0; slot < placement.slot_to_expert.size(); ++slot)
    result.slots[next[placement.slot_to_expert[slot]]++] = static_cast<std::int32_t>(slot);
  return result;
}

std::string placement_refusal(const PlacementSpec& spec, const PlacementProblem& problem) {
  if (spec.policy == PlacementPolicy::table) return "";  // checked when it was read
  const std::int64_t experts = problem.num_experts, ranks = problem.num_ranks;
  constexpr std::int64_t kMostSlots = std::numeric_limits<std::int32_t>::max();
  ENSURE(experts >= 1 && experts <= kMostSlots && ranks >= 1 && ranks <= kMostSlots);
  ENSURE(problem.num_groups >= 1 && problem.ranks_per_node >= 1);
  const PlacementMethod& method = method_of(spec.policy);
  const std::int64_t redundant = spec.redundant_experts;
  const std::string said = std::to_string(redundant) + " redundant experts";
  if (redundant < 0) return said + ": expected 0 or more";
  if (redundant > 0 && !method.takes_redundant_experts)
    return said + ": only the eplb policies place redundant experts";
  // With more slots than experts on a rank, some expert would have to be there twice.
  const std::int64_t most = std::min(experts * (ranks - 1), kMostSlots - experts);
  if (redundant > most)
    return said + ": " + std::to_string(ranks) + " ranks with " + std::to_string(experts) +
           " experts have use for at most " + std::to_string(most);
  const std::int64_t slots = experts + redundant;
  if (slots % ranks != 0)
    return (redundant == 0 ? std::to_string(experts) + " experts"
                           : std::to_string(slots) + " slots (" + std::to_string(experts) +
                                 " experts and " + std::to_string(redundant) + " redundant)") +
           " are not divisible by " + std::to_string(ranks) + " ranks";
  return method.refusal(spec, problem);
}

Placement place_experts(const PlacementSpec& spec, const PlacementProblem& problem) {
  if (spec.policy == PlacementPolicy::table) return *spec.given;
  ENSURE(placement_refusal(spec, problem).empty());
  Placement placement{problem.num_experts,
                      problem.num_ranks,
                      problem.ranks_per_node,
                      (problem.num_experts + spec.redundant_experts) / problem.num_ranks,
                      method_of(spec.policy).slots(spec, problem)};
  ENSURE(std::ssize(placement.slot_to_expert) == placement.num_slots());
  return placement;
}

Placement read_placement(const JsonNode& node,
                         std::int64_t num_experts,
                         std::int64_t num_ranks,
                         std::int64_t ranks_per_node) {
  ObjectReader reader(node);
  Placement placement{num_experts, num_ranks, ranks_per_node, 0, {}};
  placement.slots_per_rank = reader.integer("slots_per_rank", 1, num_experts);
  const std::vector<std::int64_t> table = reader.integer_list("slot_to_expert", 0, num_experts - 1);
  if (std::ssize(table) != placement.num_slots())
    reader.fail("slot_to_expert",
                "expected " + std::to_string(num_ranks) + " ranks x " +
                    std::to_string(placement.slots_per_rank) +
                    " slots = " + std::to_string(placement.num_slots()) + " slots, found " +
                    std::to_string(table.size()));
  std::vector<std::int64_t> last_rank(static_cast<std::size_t>(num_experts), -1);
  for (std::size_t slot = 0; slot < table.size(); ++slot) {
    const std::int64_t rank = placement.rank_of_slot(static_cast<std::int64_t>(slot));
    std::int64_t& seen = last_rank[static_cast<std::size_t>(table[slot])];
    if (seen == rank)
      throw InputError(reader.required("slot_to_expert").items[slot].place(),
                       "expected different experts on rank " + std::to_string(rank) +
                           ", found expert " + std::to_string(table[slot]) + " again");
    seen = rank;
  }
  const auto unplaced = std::find(last_rank.begin(), last_rank.end(), -1);
  if (unplaced != last_rank.end())
    reader.fail("slot_to_expert",
                "expected each of the " + std::to_string(num_experts) +
                    " experts in a slot, found expert " +
                    std::to_string(unplaced - last_rank.begin()) + " in none");
  reader.finish();
  placement.slot_to_expert.assign(table.begin(), table.end());
  return placement;
}

PlacementSpec read_placement_spec(const JsonNode& node, const PlacementProblem& problem) {
  static const std::vector<std::pair<std::string, PlacementPolicy>> kNames = {
      {"contiguous", PlacementPolicy::contiguous},
      {"round_robin", PlacementPolicy::round_robin},
      {"eplb_hierarchical", PlacementPolicy::eplb_hierarchical},
      {"eplb_global", PlacementPolicy::eplb_global},
      {"table", PlacementPolicy::table}};
  ObjectReader reader(node);
  std::vector<std::string> names;
  for (const auto& [name, policy] : kNames) names.push_back(name);
  const std::string chosen = reader.choice("policy", names);
  PlacementSpec spec;
  for (const auto& [name, policy] : kNames)
    if (name == chosen) spec.policy = policy;
  if (spec.policy == PlacementPolicy::table) {
    spec.given = std::make_shared<const Placement>(read_placement(
        reader.required("table"), problem.num_experts, problem.num_ranks, problem.ranks_per_node));
    spec.redundant_experts = spec.given->num_slots() - problem.num_experts;
  } else {
    spec.redundant_experts = reader.integer_or("redundant_experts", 0, 1 << 20, 0);
  }
  reader.finish();
  const std::string refusal = placement_refusal(spec, problem);
  if (!refusal.empty()) reader.fail(refusal);
  return spec;
}

}  // namespace moesim
