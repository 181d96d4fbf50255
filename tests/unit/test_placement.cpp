// Placements against hand-solved cases, the published EPLB example, brute force, and the bounds
// that the greedy balancer keeps on any input.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "model/placement/placement.hpp"
#include "model/random.hpp"
#include "tests/catch.hpp"
#include "tests/reference_data.hpp"
#include "tests/refusal.hpp"

using namespace moesim;

namespace {

using Slots = std::vector<std::int32_t>;
using Loads = std::vector<double>;

constexpr auto kAllPolicies = {PlacementPolicy::contiguous,
                               PlacementPolicy::round_robin,
                               PlacementPolicy::eplb_hierarchical,
                               PlacementPolicy::eplb_global};

Loads replica_loads(const Placement& placement, const Loads& load) {
  const ExpertSlots slots = slots_of_experts(placement);
  Loads result;
  for (const std::int32_t e : placement.slot_to_expert)
    result.push_back(load[static_cast<std::size_t>(e)] / static_cast<double>(slots.of(e).size()));
  return result;
}

// Expected load of every rank when the replicas of an expert share its load equally.
Loads rank_loads(const Placement& placement, const Loads& load) {
  const Loads of_slot = replica_loads(placement, load);
  Loads result;
  for (auto first = of_slot.begin(); first != of_slot.end(); first += placement.slots_per_rank)
    result.push_back(std::accumulate(first, first + placement.slots_per_rank, 0.0));
  return result;
}

double max_of(const Loads& values) { return *std::max_element(values.begin(), values.end()); }
double sum_of(const Loads& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

Placement global(const Loads& load, std::int64_t num_ranks, std::int64_t redundant) {
  return place_experts({PlacementPolicy::eplb_global, redundant},
                       {std::ssize(load), 1, num_ranks, num_ranks, load});
}

std::int64_t draw(Random& random, std::int64_t lowest, std::int64_t highest) {
  return lowest +
         static_cast<std::int64_t>(random.uniform() * static_cast<double>(highest - lowest + 1));
}

// Skewed, with ties and experts that nobody chose.
Loads random_loads(Random& random, std::int64_t num_experts) {
  const bool whole_numbers = random.uniform() < 0.5;
  Loads load;
  for (std::int64_t e = 0; e < num_experts; ++e)
    load.push_back(whole_numbers ? static_cast<double>(draw(random, 0, 5))
                                 : std::exp(1.5 * random.normal()));
  return load;
}

struct RandomCase {
  PlacementSpec spec;
  PlacementProblem problem;
};

// Node, group and slot counts that every policy accepts (contiguous without the redundancy).
RandomCase random_case(Random& random) {
  const std::int64_t nodes = draw(random, 1, 4), ranks_per_node = draw(random, 1, 4);
  const std::int64_t groups_per_node = draw(random, 1, 3);
  const std::int64_t ranks = nodes * ranks_per_node;
  const std::int64_t groups = nodes * groups_per_node;
  const std::int64_t group_size = ranks_per_node * draw(random, 1, 3);
  const std::int64_t slots_before = group_size * groups_per_node / ranks_per_node;
  const std::int64_t extra =
      draw(random, 0, std::min(groups_per_node * group_size - slots_before, std::int64_t{3}));
  RandomCase result{{PlacementPolicy::contiguous, ranks * extra},
                    {groups * group_size, groups, ranks, ranks_per_node, {}}};
  result.problem.load = random_loads(random, result.problem.num_experts);
  return result;
}

const Loads kReadmeLoads = {90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86};

}  // namespace

TEST_CASE("placement: contiguous and round robin by hand", "[placement]") {
  const PlacementProblem problem{6, 1, 3, 2, {}};
  const Placement contiguous = place_experts({PlacementPolicy::contiguous}, problem);
  CHECK(contiguous.slot_to_expert == Slots{0, 1, 2, 3, 4, 5});
  CHECK(contiguous.slots_per_rank == 2);
  CHECK(contiguous.num_slots() == 6);
  CHECK(contiguous.num_nodes() == 2);
  CHECK(contiguous.rank_of_slot(3) == 1);
  CHECK(contiguous.node_of_rank(1) == 0);
  CHECK(contiguous.node_of_rank(2) == 1);
  const Placement round_robin = place_experts({PlacementPolicy::round_robin}, problem);
  CHECK(round_robin.slot_to_expert == Slots{0, 3, 1, 4, 2, 5});
}

TEST_CASE("placement: slots of an expert", "[placement]") {
  const ExpertSlots slots = slots_of_experts({3, 2, 2, 2, {2, 0, 1, 2}});
  const auto of = [&](std::int64_t e) { return Slots(slots.of(e).begin(), slots.of(e).end()); };
  CHECK(of(0) == Slots{1});
  CHECK(of(1) == Slots{2});
  CHECK(of(2) == Slots{0, 3});
}

// deepseek-ai/EPLB, README, "Interface and Example", first layer: 16 replicas, 4 groups, 2 nodes,
// 8 GPUs. By hand: groups weigh 262, 330, 116, 325, so node 0 gets groups 1 and 2; there experts 5
// (165) and 4 (104) are doubled; 82.5, 82.5, 73, 61, 52, 52, 39, 4 are packed in this order.
TEST_CASE("placement: the published EPLB example", "[placement]") {
  const Placement placement =
      place_experts({PlacementPolicy::eplb_hierarchical, 4}, {12, 4, 8, 4, kReadmeLoads});
  CHECK(placement.slot_to_expert == Slots{5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1});
  CHECK(placement.slots_per_rank == 2);
}

TEST_CASE("placement: the published EPLB example with both layers", "[placement][reference]") {
  const auto folder = reference_folder();
  if (!folder) return;
  const JsonNode file = read_json_file(*folder / "eplb_example.json");
  ObjectReader reader(file);
  const std::int64_t ranks = reader.integer("num_gpus", 1, 64);
  const std::int64_t nodes = reader.integer("num_nodes", 1, 64);
  const std::int64_t replicas = reader.integer("num_replicas", 1, 64);
  const std::int64_t groups = reader.integer("num_groups", 1, 64);
  const std::vector<JsonNode>& layers = reader.required("weight").items;
  REQUIRE(layers.size() == 2);
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    Loads load;
    for (const JsonNode& item : layers[layer].items) load.push_back(as_number(item, 0, 1e6));
    Slots expected;
    for (const JsonNode& item : reader.required("replica_to_expert").items.at(layer).items)
      expected.push_back(static_cast<std::int32_t>(as_integer(item, 0, 11)));
    const Placement placement =
        place_experts({PlacementPolicy::eplb_hierarchical, replicas - std::ssize(load)},
                      {std::ssize(load), groups, ranks, ranks / nodes, load});
    CHECK(placement.slot_to_expert == expected);
  }
}

TEST_CASE("placement: EPLB's ties go to the lower expert and the lower rank", "[placement]") {
  // The extra replica goes to expert 0; its halves come last, the first onto the emptier rank.
  CHECK(global({2, 2, 2}, 2, 1).slot_to_expert == Slots{1, 0, 2, 0});
  CHECK(global({0, 0, 0, 0}, 2, 0).slot_to_expert == Slots{0, 1, 2, 3});
  // Enough equal items that an unstable sort would shuffle them.
  Slots even_then_odd;
  for (const std::int32_t first : {0, 1})
    for (std::int32_t e = first; e < 64; e += 2) even_then_odd.push_back(e);
  CHECK(global(Loads(64, 1), 2, 0).slot_to_expert == even_then_odd);
  // Groups weigh 2, 4, 4, 2: node 0 gets groups 1 and 0. There experts 0, 1 and 3 tie.
  const PlacementProblem problem{8, 4, 2, 1, {1, 1, 3, 1, 3, 1, 1, 1}};
  CHECK(place_experts({PlacementPolicy::eplb_hierarchical}, problem).slot_to_expert ==
        Slots{2, 0, 1, 3, 4, 5, 6, 7});
}

TEST_CASE("placement: EPLB may put two replicas of an expert on a rank", "[placement]") {
  const Placement placement = global({10, 9, 1}, 2, 1);
  CHECK(placement.slot_to_expert == Slots{1, 2, 0, 0});
  CHECK(rank_loads(placement, {10, 9, 1}) == Loads{10, 10});
  // What a rule against it would have to give.
  CHECK(max_of(rank_loads({3, 2, 2, 2, {0, 1, 0, 2}}, {10, 9, 1})) == 14);
}

TEST_CASE("placement: EPLB can lose to a lucky contiguous placement", "[placement]") {
  const Loads load = {3, 3, 0, 2, 2, 2};
  const PlacementProblem problem{6, 1, 2, 2, load};
  CHECK(max_of(rank_loads(place_experts({PlacementPolicy::contiguous}, problem), load)) == 6);
  CHECK(max_of(rank_loads(global(load, 2, 0), load)) == 7);
}

TEST_CASE("placement: one group a node stays where it is", "[placement]") {
  Random random(7);
  const auto place = [&] {
    return place_experts({PlacementPolicy::eplb_hierarchical, 16},
                         {64, 8, 16, 2, random_loads(random, 64)});
  };
  const PlacementChange change = change_between(place(), place());
  CHECK(change.replicas_moved > 0);
  CHECK(change.replicas_from_own_node == change.replicas_moved);
}

TEST_CASE("placement: every policy places every expert in equal ranks", "[placement]") {
  Random random(11);
  for (int trial = 0; trial < 300; ++trial) {
    RandomCase c = random_case(random);
    const std::int64_t redundant = c.spec.redundant_experts;
    for (const PlacementPolicy policy : kAllPolicies) {
      const bool is_eplb =
          policy != PlacementPolicy::contiguous && policy != PlacementPolicy::round_robin;
      c.spec = {policy, is_eplb ? redundant : 0};
      REQUIRE(placement_refusal(c.spec, c.problem).empty());
      const Placement p = place_experts(c.spec, c.problem);
      CHECK(p.num_slots() == c.problem.num_experts + c.spec.redundant_experts);
      CHECK(std::ssize(p.slot_to_expert) == p.num_slots());
      const ExpertSlots slots = slots_of_experts(p);
      std::int64_t num_slots = 0;
      for (std::int64_t e = 0; e < p.num_experts; ++e) {
        CHECK(!slots.of(e).empty());
        num_slots += std::ssize(slots.of(e));
        for (const std::int32_t slot : slots.of(e)) CHECK(p.slot_to_expert[slot] == e);
      }
      CHECK(num_slots == p.num_slots());
      CHECK(sum_of(rank_loads(p, c.problem.load)) == Approx(sum_of(c.problem.load)));
    }
  }
}

TEST_CASE("placement: hierarchical EPLB keeps a group on a node and its bound", "[placement]") {
  Random random(12);
  for (int trial = 0; trial < 300; ++trial) {
    RandomCase c = random_case(random);
    c.spec.policy = PlacementPolicy::eplb_hierarchical;
    const Placement p = place_experts(c.spec, c.problem);
    const ExpertSlots slots = slots_of_experts(p);
    const std::int64_t group_size = p.num_experts / c.problem.num_groups;
    Loads group_load(static_cast<std::size_t>(c.problem.num_groups));
    std::vector<std::set<std::int64_t>> nodes_of_group(group_load.size());
    for (std::int64_t e = 0; e < p.num_experts; ++e) {
      const auto group = static_cast<std::size_t>(e / group_size);
      group_load[group] += c.problem.load[static_cast<std::size_t>(e)];
      for (const std::int32_t slot : slots.of(e))
        nodes_of_group[group].insert(p.node_of_rank(p.rank_of_slot(slot)));
    }
    for (const std::set<std::int64_t>& nodes : nodes_of_group) CHECK(nodes.size() == 1);

    const auto nodes = static_cast<double>(p.num_nodes());
    const auto ranks = static_cast<double>(p.ranks_per_node);
    const double node_bound = sum_of(group_load) / nodes + (1 - 1 / nodes) * max_of(group_load);
    CHECK(max_of(rank_loads(p, c.problem.load)) <=
          node_bound / ranks + (1 - 1 / ranks) * max_of(replica_loads(p, c.problem.load)) + 1e-9);
  }
}

TEST_CASE("placement: global EPLB spreads ranks by at most the heaviest replica", "[placement]") {
  Random random(13);
  for (int trial = 0; trial < 300; ++trial) {
    const RandomCase c = random_case(random);
    const Loads& load = c.problem.load;
    const Placement p = global(load, c.problem.num_ranks, c.spec.redundant_experts);
    const Loads of_rank = rank_loads(p, load);
    const double heaviest = max_of(replica_loads(p, load));
    const auto ranks = static_cast<double>(p.num_ranks);
    const double lightest = *std::min_element(of_rank.begin(), of_rank.end());
    CHECK(max_of(of_rank) - lightest <= heaviest + 1e-9);
    CHECK(max_of(of_rank) <= sum_of(load) / ranks + (1 - 1 / ranks) * heaviest + 1e-9);
  }
}

TEST_CASE("placement: global EPLB against every placement of small cases", "[placement]") {
  constexpr std::int64_t kExperts = 4, kRanks = 2, kSlotsPerRank = 3;
  Random random(14);
  for (int trial = 0; trial < 20; ++trial) {
    const Loads load = random_loads(random, kExperts);
    Placement any{kExperts, kRanks, kRanks, kSlotsPerRank, {}};
    double best_rank = 1e300, best_replica = 1e300;
    for (int code = 0; code < 4096; ++code) {  // 4 experts in 6 slots
      any.slot_to_expert.clear();
      for (int slot = 0; slot < 6; ++slot) any.slot_to_expert.push_back(code >> (2 * slot) & 3);
      if (std::set<std::int32_t>(any.slot_to_expert.begin(), any.slot_to_expert.end()).size() < 4)
        continue;
      best_rank = std::min(best_rank, max_of(rank_loads(any, load)));
      best_replica = std::min(best_replica, max_of(replica_loads(any, load)));
    }
    const Placement p = global(load, kRanks, kRanks * kSlotsPerRank - kExperts);
    CHECK(max_of(replica_loads(p, load)) == Approx(best_replica));
    CHECK(max_of(rank_loads(p, load)) >= best_rank - 1e-9);
    CHECK(max_of(rank_loads(p, load)) <= best_rank + best_replica / 2 + 1e-9);
  }
}

TEST_CASE("placement: what a policy cannot place is said", "[placement]") {
  const auto said =
      [](PlacementPolicy policy, std::int64_t redundant, const PlacementProblem& problem) {
        return placement_refusal({policy, redundant}, problem);
      };
  const auto contiguous = PlacementPolicy::contiguous;
  const auto round_robin = PlacementPolicy::round_robin;
  const auto hierarchical = PlacementPolicy::eplb_hierarchical;
  const auto everywhere = PlacementPolicy::eplb_global;
  CHECK(said(contiguous, 0, {256, 8, 48, 8, {}}) == "256 experts are not divisible by 48 ranks");
  CHECK(said(round_robin, 0, {256, 8, 48, 8, {}}) == "256 experts are not divisible by 48 ranks");
  CHECK(said(everywhere, 8, {256, 8, 48, 8, {}}) ==
        "264 slots (256 experts and 8 redundant) are not divisible by 48 ranks");
  CHECK(said(everywhere, 32, {256, 8, 48, 8, {}}) == "");
  for (const PlacementPolicy policy : {contiguous, round_robin})
    CHECK(said(policy, 32, {256, 8, 32, 8, {}}) ==
          "32 redundant experts: only the eplb policies place redundant experts");
  for (const PlacementPolicy policy : kAllPolicies)
    CHECK(said(policy, -1, {256, 8, 32, 8, {}}) == "-1 redundant experts: expected 0 or more");
  CHECK(said(everywhere, 12, {4, 1, 4, 4, {}}) == "");
  CHECK(said(everywhere, 16, {4, 1, 4, 4, {}}) ==
        "16 redundant experts: 4 ranks with 4 experts have use for at most 12");
  CHECK(said(everywhere, 9'000'000'000'000'000'000, {4, 1, 4, 4, {}}) ==
        "9000000000000000000 redundant experts: 4 ranks with 4 experts have use for at most 12");
  CHECK(said(everywhere, 3'000'000'000, {16'384, 1, 1'000'000, 8, {}}) ==
        "3000000000 redundant experts: 1000000 ranks with 16384 experts have use for at most "
        "2147467263");
  CHECK(said(hierarchical, 32, {256, 8, 72, 8, {}}) ==
        "8 expert groups are not divisible by 9 nodes");
  CHECK(said(hierarchical, 32, {256, 8, 96, 32, {}}) ==
        "8 expert groups are not divisible by 3 nodes");
  CHECK(said(hierarchical, 32, {256, 8, 36, 8, {}}) ==
        "36 ranks are not divisible by 8 ranks a node");
  CHECK(said(hierarchical, 2, {10, 4, 4, 4, {}}) ==
        "10 experts are not divisible by 4 expert groups");
  CHECK(said(hierarchical, 8, {8, 4, 4, 1, {}}) ==
        "4 slots a rank are more than the 2 experts of its node");
  CHECK(said(hierarchical, 32, {256, 8, 32, 8, {}}) == "");
  CHECK(said(hierarchical, 0, {256, 8, 4, 8, {}}) == "");  // part of a node
  CHECK(said(everywhere, 32, {256, 8, 36, 8, {}}) == "");  // 4.5 nodes
  CHECK_THROWS_AS(place_experts({contiguous}, {256, 8, 48, 8, {}}), std::logic_error);
  CHECK_THROWS_AS(place_experts({everywhere}, {4, 1, 4, 4, {1, 1, 1}}), std::logic_error);
  CHECK_THROWS_AS(place_experts({everywhere}, {4, 1, 4, 4, {1, 1, 1, -1}}), std::logic_error);
}

TEST_CASE("placement: a table is read and checked", "[placement]") {
  const auto read = [](const std::string& text) {
    return read_placement(parse_json(text, "x.json"), 3, 2, 1);
  };
  const Placement p = read(R"({"slots_per_rank": 2, "slot_to_expert": [2, 0, 1, 2]})");
  CHECK(p.slot_to_expert == Slots{2, 0, 1, 2});
  CHECK(p.num_experts == 3);
  CHECK(p.num_slots() == 4);
  CHECK(p.num_nodes() == 2);

  const auto said = [&](const std::string& text) { return refusal([&] { read(text); }); };
  CHECK(said(R"({"slots_per_rank": 2, "slot_to_expert": [2, 0, 1]})") ==
        "x.json: /slot_to_expert: expected 2 ranks x 2 slots = 4 slots, found 3");
  CHECK(said(R"({"slots_per_rank": 2, "slot_to_expert": [2, 0, 0, 2]})") ==
        "x.json: /slot_to_expert: expected each of the 3 experts in a slot, found expert 1 in "
        "none");
  CHECK(said(R"({"slots_per_rank": 2, "slot_to_expert": [0, 1, 2, 2]})") ==
        "x.json: /slot_to_expert/3: expected different experts on rank 1, found expert 2 again");
  CHECK(said(R"({"slots_per_rank": 2, "slot_to_expert": [0, 1, 2, 3]})") ==
        "x.json: /slot_to_expert/3: expected an integer from 0 to 2, found 3");
  CHECK(said(R"({"slots_per_rank": 2, "slot_to_expert": [0, 1, 2, -1]})") ==
        "x.json: /slot_to_expert/3: expected an integer from 0 to 2, found -1");
  CHECK(said(R"({"slots_per_rank": 4, "slot_to_expert": []})") ==
        "x.json: /slots_per_rank: expected an integer from 1 to 3, found 4");
  CHECK(said(R"({"slot_to_expert": [0, 1, 2, 0]})") == "x.json: missing key \"slots_per_rank\"");
  CHECK(said(R"({"slots_per_rank": 2, "slot_to_expert": [0, 1, 2, 0], "ranks": 2})") ==
        "x.json: unknown key \"ranks\"; known: slot_to_expert, slots_per_rank");
  CHECK(said("[0, 1, 2]") == "x.json: expected an object, found an array");
}

TEST_CASE("placement: what a change moves, by hand", "[placement]") {
  // Two nodes of two ranks. Rank 0 keeps 0 and gets 1 from its node's rank 1; rank 1 gets 4 and 6
  // from the other node; rank 2 swaps its slots; rank 3 gets 0 from rank 0's node, 5 from rank 2.
  const Placement from{8, 4, 2, 2, {0, 2, 1, 3, 4, 5, 6, 7}};
  const Placement to{8, 4, 2, 2, {0, 1, 4, 6, 5, 4, 0, 5}};
  const PlacementChange change = change_between(from, to);
  CHECK(change.replicas_moved == 5);
  CHECK(change.replicas_from_own_node == 2);
  CHECK(change.most_received_by_a_rank == 2);

  CHECK(change_between(from, from).replicas_moved == 0);
  // More slots: rank 1 gets expert 0 once, though it holds it twice.
  const Placement wider{8, 4, 2, 3, {0, 2, 2, 0, 1, 0, 4, 5, 4, 6, 7, 6}};
  CHECK(change_between(from, wider).replicas_moved == 1);
  CHECK(change_between(from, wider).replicas_from_own_node == 1);
  const Placement other_ranks{8, 2, 2, 4, {0, 1, 2, 3, 4, 5, 6, 7}};
  CHECK_THROWS_AS(change_between(from, other_ranks), std::logic_error);
}

TEST_CASE("placement: a change between random placements, counted by sets", "[placement]") {
  Random random(15);
  for (int trial = 0; trial < 100; ++trial) {
    RandomCase c = random_case(random);
    const Placement from = place_experts({PlacementPolicy::contiguous}, c.problem);
    c.spec.policy = PlacementPolicy::eplb_global;
    const Placement to = place_experts(c.spec, c.problem);
    const auto held = [](const Placement& p, std::int64_t rank) {
      const auto first = p.slot_to_expert.begin() + rank * p.slots_per_rank;
      return std::set<std::int32_t>(first, first + p.slots_per_rank);
    };
    std::int64_t moved = 0, from_own_node = 0, most = 0;
    for (std::int64_t rank = 0; rank < to.num_ranks; ++rank) {
      const std::set<std::int32_t> before = held(from, rank);
      std::int64_t received = 0;
      for (const std::int32_t e : held(to, rank)) {
        if (before.count(e) != 0) continue;
        ++received;
        for (std::int64_t peer = 0; peer < to.num_ranks; ++peer)
          if (to.node_of_rank(peer) == to.node_of_rank(rank))
            from_own_node += static_cast<std::int64_t>(held(from, peer).count(e));
      }
      moved += received;
      most = std::max(most, received);
    }
    const PlacementChange change = change_between(from, to);
    CHECK(change.replicas_moved == moved);
    CHECK(change.replicas_from_own_node == from_own_node);
    CHECK(change.most_received_by_a_rank == most);
  }
}
