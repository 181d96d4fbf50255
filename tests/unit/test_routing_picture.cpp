// Pictures of a routing: what is drawn is what is routed.
#include <cmath>
#include <numeric>

#include "sim/routing_picture.hpp"
#include "sim/stage_costs.hpp"
#include "tests/catch.hpp"
#include "tests/small_v3.hpp"

using namespace moesim;

namespace {

double sum_of(const std::vector<std::vector<Bytes>>& matrix, bool diagonal) {
  double sum = 0;
  for (std::size_t i = 0; i < matrix.size(); ++i)
    for (std::size_t j = 0; j < matrix.size(); ++j)
      if ((i == j) == diagonal) sum += matrix[i][j].in(B);
  return sum;
}

}  // namespace

TEST_CASE("routing picture: loads have mean 1 in every layer and are those of the run",
          "[charts]") {
  const Scenario scenario = sampled_small_v3();
  const TrainingPhase& phase = scenario.phases.front();
  const auto picture = routing_picture(scenario, phase, 2);
  REQUIRE(picture);
  const RoutingSampler sampler(routing_problem(scenario, phase), 1);
  CHECK(std::ssize(picture->relative_rows) == sampler.problem().num_layers);
  double most = 0;
  for (std::size_t layer = 0; layer < picture->relative_rows.size(); ++layer) {
    const auto& relative = picture->relative_rows[layer];
    REQUIRE(relative.size() == 16);
    CHECK(std::accumulate(relative.begin(), relative.end(), 0.0) == Approx(16));
    const auto drawn = sampler.sample(picture->tokens, 0, static_cast<std::int64_t>(layer), 0);
    CHECK(relative[3] * static_cast<double>(drawn[0].load.rows) ==
          Approx(relative[0] * static_cast<double>(drawn[3].load.rows)));
    for (const double value : relative) most = std::max(most, value);
  }
  CHECK(most > 1.001);  // chance makes ranks differ
}

TEST_CASE("routing picture: what a node sends is the rows it has for other nodes", "[charts]") {
  const Scenario scenario = sampled_small_v3();
  const TrainingPhase& phase = scenario.phases.front();
  const RoutingSampler sampler(routing_problem(scenario, phase), 1);
  const std::int64_t tokens = 512;
  const Bytes row = 7168 * B;
  const RowCounts counts = sampler.sample_rows(tokens, 0, 0, 0);
  const ExpertTraffic traffic = expert_traffic(counts, ExpertAlgorithm::two_hop);
  const RoutingPicture picture = routing_picture(sampler, tokens, ExpertAlgorithm::two_hop, row);
  REQUIRE(picture.by_node);
  REQUIRE(picture.dispatched.size() == 2);
  for (std::int64_t from = 0; from < 2; ++from) {
    double rows = 0;
    for (std::int64_t rank = 8 * from; rank < 8 * from + 8; ++rank)
      rows += counts.rows_to_node[counts.to_node(rank, 1 - from)];
    CHECK(picture.dispatched[static_cast<std::size_t>(from)][static_cast<std::size_t>(1 - from)].in(
              B) == Approx(rows * 7168));
  }
  CHECK(sum_of(picture.dispatched, false) == Approx(traffic.wire_rows_network * 7168));
  CHECK(sum_of(picture.dispatched, true) == Approx(traffic.wire_rows_nvlink * 7168));
  // No token is sent to a node twice.
  CHECK(sum_of(picture.dispatched, false) <= 16 * static_cast<double>(tokens) * 7168);
}

TEST_CASE("routing picture: inside one node, from rank to rank", "[charts]") {
  const Scenario scenario = sampled_small_v3({{"/plan/ep", "8"}});
  const RoutingSampler sampler(routing_problem(scenario, scenario.phases.front()), 1);
  const RowCounts counts = sampler.sample_rows(256, 0, 0, 0);
  const RoutingPicture picture = routing_picture(sampler, 256, ExpertAlgorithm::two_hop, 1 * B);
  CHECK_FALSE(picture.by_node);
  REQUIRE(picture.dispatched.size() == 8);
  for (std::int64_t from = 0; from < 8; ++from)
    for (std::int64_t to = 0; to < 8; ++to)
      CHECK(picture.dispatched[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)].in(
                B) == Approx(from == to ? 0 : counts.rows_to_rank[counts.to_rank(from, to)]));
}

TEST_CASE("routing picture: none without experts", "[charts]") {
  const Scenario dense = shipped_scenario("llama-3.1-405b-h100");
  CHECK_FALSE(routing_picture(dense, dense.phases.front(), 1).has_value());
}
