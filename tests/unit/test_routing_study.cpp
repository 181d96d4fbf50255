// Tokens of a group counted and sent, against counts by hand, closed forms and published visits;
// recordings against their own counts; drift and rebalancing against the placements they are made
// of.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "model/model_counts.hpp"
#include "sim/rebalancing.hpp"
#include "sim/routing_study.hpp"
#include "tests/catch.hpp"
#include "tests/refusal.hpp"
#include "tests/shipped_data.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

using Loads = std::vector<double>;

// Two nodes of two ranks.
Placement two_nodes(std::int64_t num_experts, std::vector<std::int32_t> slot_to_expert) {
  const std::int64_t slots = std::ssize(slot_to_expert) / 4;
  return {num_experts, 4, 2, slots, std::move(slot_to_expert)};
}

RoutedTokens tokens_of(std::int64_t top_k, std::vector<std::int32_t> experts) {
  return {std::ssize(experts) / top_k, top_k, std::move(experts), {}};
}

// 64 experts on 16 ranks of two nodes; a node limit only where `changes` set one.
RoutingStudy study_small(const Changes& changes, std::int64_t tokens, std::int64_t layer = 0) {
  const Scenario scenario = sampled_small_v3(changes);
  return study_routing(scenario, scenario.phases[0], {layer, tokens, 2});
}

Changes with_popularity(const std::string& json) {
  return {{"/routing/popularity", json}, {"/phases/0/routing", R"({"kind": "sampled"})"}};
}

double total(const Loads& loads) { return std::accumulate(loads.begin(), loads.end(), 0.0); }

}  // namespace

TEST_CASE("spread of loads by hand", "[routing_study]") {
  const LoadSpread spread = spread_of({3, 1, 2, 2});
  CHECK(spread.mean == 2);
  CHECK(spread.max_over_mean == 1.5);
  CHECK(spread.min_over_mean == 0.5);
  CHECK(spread.cv == Approx(std::sqrt(0.5) / 2));
  CHECK(spread.max_violation() == 0.5);
}

TEST_CASE("tokens on two nodes counted by hand", "[routing_study]") {
  const std::vector<RoutedTokens> tokens = {
      tokens_of(2, {0, 1, 2, 3}), tokens_of(2, {0, 2}), tokens_of(2, {3, 0}), tokens_of(2, {})};
  const GroupStudy study = study_tokens(tokens, two_nodes(4, {0, 1, 2, 3}));
  CHECK(study.loads.expert == Loads{3, 1, 2, 2});
  CHECK(study.loads.rank == Loads{3, 1, 2, 2});
  CHECK(study.loads.node == Loads{4, 4});
  CHECK(study.visits.copies_per_token == 2);
  CHECK(study.visits.ranks_per_token == 2);
  CHECK(study.visits.nodes_per_token == 1.5);
  CHECK(study.visits.share_by_nodes == Loads{0, 0.5, 0.5});
  CHECK(rows_between_nodes(study.rows) == Loads{2, 2, 1, 1});
}

TEST_CASE("replicas take a source's tokens in turn", "[routing_study]") {
  // Expert 0 lives on ranks 0 and 2, expert 1 on ranks 0 and 1.
  const Placement placement = two_nodes(6, {0, 1, 1, 2, 0, 3, 4, 5});
  const GroupStudy study = study_tokens({tokens_of(2, {0, 1, 0, 1, 0, 1, 0, 1})}, placement);
  CHECK(study.loads.expert == Loads{4, 4, 0, 0, 0, 0});
  CHECK(study.loads.rank == Loads{4, 2, 2, 0});
  // Even tokens have both experts on rank 0, odd ones on ranks 2 and 1.
  CHECK(study.visits.ranks_per_token == 1.5);
  CHECK(study.visits.share_by_nodes == Loads{0, 0.5, 0.5});
  CHECK(expected_loads({4, 4, 0, 0, 0, 0}, placement).rank == study.loads.rank);
  CHECK(expected_loads({4, 4, 0, 0, 0, 0}, placement).node == Loads{6, 2});
}

TEST_CASE("one row sent takes its bytes over the link and the latency", "[routing_study]") {
  const Scenario scenario = small_v3();
  const LinkRates links = link_rates(scenario.cluster, scenario.profile.comm);
  const Network network(scenario.cluster, links);
  const Bandwidth not_limiting = 1000 * TB_per_s;
  const ExchangeSetting setting{network, {7 * MB, 14 * MB}, not_limiting, not_limiting};
  // Rank 1 of 16 sends to rank 12, which is on the other node and has another local index.
  RowCounts rows(16, 8);
  rows.copies[rows.to_rank(1, 12)] = 1;
  rows.rows_to_rank[rows.to_rank(1, 12)] = 1;
  rows.rows_to_node[rows.to_node(1, 1)] = 1;
  for (const ExchangeStudy& e : study_exchange(rows, setting, 2)) {
    CAPTURE(static_cast<int>(e.algorithm));
    CHECK(e.network_rows == 1);
    CHECK(e.nvlink_rows == (e.algorithm == ExpertAlgorithm::two_hop ? 1 : 0));
    CHECK(e.logical_rows == 1);
    // Two-hop sends it to the rank of the same local index; the hop over NVLink is faster.
    const std::int64_t to = e.algorithm == ExpertAlgorithm::two_hop ? 9 : 12;
    const auto ends = [&](const ExchangeTime& t, Seconds latency) {
      const Seconds alone = t.row / links.nic;
      CHECK(t.busiest_link.in(us) == Approx(alone.in(us)));
      CHECK(t.simulated.in(us) == Approx((alone + latency).in(us)));
    };
    ends(e.dispatch, network.path(1, to).latency);
    ends(e.combine, network.path(to, 1).latency);
    CHECK(e.combine.row == 2 * e.dispatch.row);
  }
}

TEST_CASE("copying SMs limit an exchange in both directions alike", "[routing_study]") {
  const Scenario scenario = small_v3();
  const Network network(scenario.cluster, link_rates(scenario.cluster, scenario.profile.comm));
  const Bandwidth slow = 1 * GB_per_s;
  // Rank 0 hands out 5 rows over NVLink and keeps 3; rank 1 keeps 4.
  RowCounts rows(2, 2);
  rows.rows_to_rank = {3, 5, 0, 4};
  rows.copies = rows.rows_to_rank;
  rows.rows_to_node = {8, 4};
  const auto exchanges = study_exchange(rows, {network, {1 * MB, 1 * MB}, slow, slow}, 1);
  for (const std::size_t a : {std::size_t{0}, std::size_t{1}}) {
    // Combine: rank 1 returns the 5 it got, beside its own 4.
    CHECK(exchanges[a].dispatch.busiest_link.in(ms) == Approx(8));
    CHECK(exchanges[a].combine.busiest_link.in(ms) == Approx(9));
  }
}

TEST_CASE("uniform V3 visits the nodes and ranks of the trace's README", "[routing_study]") {
  const Scenario scenario = shipped_scenario("deepseek-v3-chunk");
  const RoutingStudy study = study_routing(scenario, scenario.phases[0], {0, 512, 2});
  const TokenVisits& visits = study.group.visits;
  CHECK(visits.copies_per_token == 8);
  CHECK(visits.nodes_per_token == Approx(3.97).margin(0.01));
  CHECK(visits.ranks_per_token == Approx(7.48).margin(0.01));
  CHECK(visits.share_by_nodes[5] == 0);
  CHECK(total(visits.share_by_nodes) == Approx(1));
  CHECK(total(study.group.loads.expert) == 8.0 * 64 * 512);
  CHECK(total(study.group.loads.node) == 8.0 * 64 * 512);
  // Counts of equal experts are binomial; a CV of 256 of them is known to 4.4 %.
  const double p = 8.0 / 256, n = 64.0 * 512;
  CHECK(spread_of(study.group.loads.expert).cv ==
        Approx(std::sqrt((1 - p) / (n * p))).epsilon(0.15));

  // Every rank sends a row to 7/8 of the nodes that its tokens visit.
  CHECK(study.exchange[1].network_rows / n == Approx(3.97 * 7 / 8).epsilon(0.01));
  REQUIRE(study.unlimited);
  // 8 of 256 experts over 8 nodes: a node is missed by C(224, 8) / C(256, 8) of the tokens.
  double missed = 1;
  for (int i = 0; i < 8; ++i) missed *= (224.0 - i) / (256.0 - i);
  CHECK((*study.unlimited)[1].network_rows / n == Approx(7 * (1 - missed)).epsilon(0.01));
  for (std::size_t a = 0; a < 3; ++a)
    for (const ExchangeTime& t : {study.exchange[a].dispatch, study.exchange[a].combine}) {
      CHECK(t.simulated >= t.busiest_link);
      CHECK(t.simulated <= 1.002 * t.busiest_link + 2 * scenario.cluster.nic_latency);
    }
}

TEST_CASE("a node limit of all groups is none", "[routing_study]") {
  const auto at = [](const char* limit) {
    return study_small(
        {{"/model/n_group", "4"}, {"/model/topk_group", "2"}, {"/routing/max_groups", limit}}, 128);
  };
  CHECK_FALSE(at("4").unlimited);
  const RoutingStudy limited = at("1");
  REQUIRE(limited.unlimited);
  // A group of 16 experts is on four ranks of one node.
  CHECK(limited.group.visits.nodes_per_token == 1);
  CHECK(limited.group.visits.ranks_per_token <= 4);
  CHECK((*limited.unlimited)[1].network_rows > 1.5 * limited.exchange[1].network_rows);
}

TEST_CASE("a skewed popularity is what experts get", "[routing_study]") {
  Changes changes = with_popularity(R"({"kind": "dirichlet", "cv": 0.6})");
  changes.emplace_back("/routing/max_groups", "8");
  const RoutingStudy study = study_small(changes, 1024);
  CHECK(study.residual < 0.05);
  const double mean = 16.0 * 1024 * 8 / 64;
  for (std::size_t e = 0; e < study.wanted.size(); ++e) {
    CAPTURE(e);
    // The chance of the tokens here and of those of the calibration, and its residual.
    const double deviation = std::sqrt(2 * study.wanted[e] / mean);
    CHECK(std::abs(study.group.loads.expert[e] / mean - study.wanted[e]) <
          5 * deviation + study.residual);
  }
  CHECK(spread_of(study.group.loads.expert).cv == Approx(spread_of(study.wanted).cv).epsilon(0.1));
  CHECK(spread_of(study.group.loads.expert).cv > 0.4);
}

TEST_CASE("a routing study depends on seed and layer and not on threads", "[routing_study]") {
  const Scenario scenario = sampled_small_v3();
  const auto loads = [&](const Scenario& of, std::int64_t layer, int threads) {
    return study_routing(of, of.phases[0], {layer, 64, threads}).group.loads.expert;
  };
  const Loads base = loads(scenario, 0, 1);
  CHECK(loads(scenario, 0, 3) == base);
  CHECK(loads(scenario, 1, 1) != base);
  Scenario other = scenario;
  other.seed += 1;
  CHECK(loads(other, 0, 1) != base);
}

TEST_CASE("a replay has exactly the recorded counts", "[routing_study]") {
  const Scenario scenario = small_v3();
  RoutingProblem problem = routing_problem(scenario, scenario.phases[0]);
  TokenRecords recorded;
  recorded.first_layer = 5;
  Random random(1);
  std::vector<Loads> counts(2, Loads(64, 0));
  for (Loads& count : counts) {
    RoutedTokens layer{37, 8, {}, {}};  // fewer than two a rank
    for (std::int64_t t = 0; t < layer.num_tokens; ++t)
      for (std::int32_t k = 0; k < 8; ++k) {
        const auto e = static_cast<std::int32_t>(8 * k + static_cast<int>(8 * random.uniform()));
        layer.experts.push_back(e);
        count[static_cast<std::size_t>(e)] += 1;
      }
    recorded.layers.push_back(std::move(layer));
  }
  const auto layers = replay(recorded, problem);
  REQUIRE(layers.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(layers[i].layer == 5 + static_cast<std::int64_t>(i));
    CHECK(layers[i].loads.expert == counts[i]);
    CHECK(layers[i].loads.rank ==
          expected_loads(counts[i], place_experts({}, placement_problem(problem))).rank);
    REQUIRE(layers[i].visits);
    CHECK(layers[i].visits->nodes_per_token == 2);  // four experts on each by construction
    CHECK(layers[i].visits->copies_per_token == 8);
  }

  // The same counts as a table of loads, and with redundant experts placed by them.
  const auto table = replay(LoadTable{counts}, problem);
  REQUIRE(table.size() == 2);
  CHECK(table[1].layer == 1);
  CHECK(table[1].loads.node == layers[1].loads.node);
  CHECK_FALSE(table[1].visits);
  problem.placement = {PlacementPolicy::eplb_global, 16, {}};
  CHECK(spread_of(replay(LoadTable{counts}, problem)[0].loads.rank).max_over_mean <
        spread_of(table[0].loads.rank).max_over_mean);
  CHECK(total(replay(recorded, problem)[0].loads.rank) == 37 * 8);
}

namespace {

Scenario drifting(const std::string& popularity) {
  Changes changes = with_popularity(popularity);
  changes.emplace_back("/plan/placement", R"({"policy": "eplb_global"})");
  return small_v3(changes);
}
const char* const kDrift = R"({"kind": "dirichlet", "cv": 0.6, "drift_time": 40})";

}  // namespace

TEST_CASE("rebalancing beats never under drift", "[rebalancing]") {
  const Scenario scenario = drifting(kDrift);
  const RebalancingResult r = simulate_rebalancing(scenario, scenario.phases[0], {10, 200, 0});
  REQUIRE(r.rebalanced.size() == 200);
  REQUIRE(r.contiguous.size() == 200);
  REQUIRE(r.changes.size() == 19);
  CHECK(total(r.rebalanced) < 0.8 * total(r.never));
  CHECK(total(r.rebalanced) < 0.8 * total(r.contiguous));
  CHECK(total(r.after) < 0.95 * total(r.before));
  // Until the first rebalance nothing is different, and at it only the placement is.
  CHECK(std::equal(r.never.begin(), r.never.begin() + 10, r.rebalanced.begin()));
  CHECK(r.before[0] == r.never[10]);
  CHECK(r.after[0] == r.rebalanced[10]);
  for (const double load : r.after) CHECK(load >= 1);

  const RebalancingResult often = simulate_rebalancing(scenario, scenario.phases[0], {2, 200, 0});
  CHECK(total(often.rebalanced) < total(r.rebalanced));
}

TEST_CASE("what a rebalance moves is the change between its placements", "[rebalancing]") {
  const Scenario scenario = drifting(kDrift);
  const TrainingPhase& phase = scenario.phases[0];
  const RebalancingResult r = simulate_rebalancing(scenario, phase, {7, 15, 2});
  REQUIRE(r.changes.size() == 2);
  PlacementProblem problem = placement_problem(routing_problem(scenario, phase));
  const auto placed_at = [&](double step) {
    problem.load = relative_load(phase.routing.popularity, 64, scenario.seed, 2, step);
    return place_experts(phase.plan.placement, problem);
  };
  const PlacementChange change = change_between(placed_at(7), placed_at(14));
  CHECK(change.replicas_moved > 0);
  CHECK(r.changes[1].replicas_moved == change.replicas_moved);
  CHECK(r.changes[1].replicas_from_own_node == change.replicas_from_own_node);
  CHECK(r.changes[1].most_received_by_a_rank == change.most_received_by_a_rank);
}

TEST_CASE("cost of a rebalance by hand", "[rebalancing]") {
  Scenario scenario = small_v3();
  TrainingPhase phase = scenario.phases[0];
  // Two of eight layers with experts on stage 1 and 2 each, one on stage 3 and its MTP module's;
  // none on the first, whose three layers are dense. DualPipe's ranks hold two stages each: 0 and
  // 3, 1 and 2, so every layer is there twice.
  const RebalanceCost cost = rebalance_cost({{40, 10, 4}, {24, 6, 2}}, scenario, phase);
  CHECK(cost.num_layers == 12);
  CHECK(cost.replicas_moved == 32);
  CHECK(cost.replicas_from_own_node == 8);
  const double weights = 3.0 * 7168 * 2048;
  CHECK(cost.expert_weights.in(B) == weights);
  CHECK(cost.moved.in(B) == Approx(32 * 12 * weights));
  CHECK(cost.from_own_node.in(B) == Approx(8 * 12 * weights));
  const LinkRates links = link_rates(scenario.cluster, scenario.profile.comm);
  // 24 replicas over 16 NICs, and four layers of a rank; the one that gets three on average uses
  // both links.
  CHECK(cost.at_least.in(ms) ==
        Approx(std::max((1.5 * 4 * weights * B / links.nic).in(ms),
                        (3 * 4 * weights * B / (links.nic + links.nvlink)).in(ms))));
  phase.plan.recipe = Recipe::bf16;
  CHECK(rebalance_cost({{40, 10, 4}}, scenario, phase).expert_weights.in(B) == 2 * weights);
}

TEST_CASE("a drift to loads that no routing can give is refused", "[rebalancing]") {
  Scenario scenario = drifting(kDrift);
  TrainingPhase& phase = scenario.phases[0];
  phase.routing.popularity.cv = 2.6;
  const std::string message = refusal([&] {
    simulate_rebalancing(scenario, phase, {10, 2000, 0});
  });
  CHECK(message.rfind("/routing/popularity: has drifted by step ", 0) == 0);
  CHECK(message.find("has a relative load of ") != std::string::npos);
}
