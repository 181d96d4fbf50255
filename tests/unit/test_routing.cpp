// Published visit counts and their closed forms; the draws of a group's loads against tokens routed
// one by one, and against the law they are drawn from; conservation.
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "tests/catch.hpp"
#include "tests/routing_problems.hpp"

using namespace moesim;

namespace {

// Chance that none of `mine` of `all` experts are among `top_k` drawn without replacement.
double missed(std::int64_t mine, std::int64_t all, std::int64_t top_k) {
  double chance = 1;
  for (std::int64_t i = 0; i < top_k; ++i)
    chance *= static_cast<double>(all - mine - i) / static_cast<double>(all - i);
  return chance;
}

}  // namespace

TEST_CASE("routing: V3 visits 3.97 nodes and 7.48 ranks", "[routing]") {
  // EP64 over 8 nodes, top-8 of 256 in at most 4 of 8 groups: an independent Monte Carlo (trace
  // README, section 1).
  for (const std::uint64_t seed : {1, 2, 3}) {
    RoutingProblem problem = v3_problem();
    problem.seed = seed;
    const RoutingSampler sampler(problem);
    CHECK(std::abs(sampler.nodes_per_token() - 3.97) <= 0.01);
    CHECK(std::abs(sampler.ranks_per_token() - 7.48) <= 0.02);
  }
  // Without the limit, as drawn from an urn.
  const RoutingSampler free(v3_problem(8));
  CHECK(free.nodes_per_token() == Approx(8 * (1 - missed(32, 256, 8))).epsilon(0.005));
  CHECK(free.ranks_per_token() == Approx(64 * (1 - missed(4, 256, 8))).epsilon(0.005));
  // On one node nothing is remote.
  const RoutingSampler one(v3_problem(4, 8));
  CHECK(one.nodes_per_token() == 1);
  CHECK(one.sample(64, 0, 0, 0).front().nic_rows_received == 0);
}

TEST_CASE("routing: a token visits no more nodes than the limit", "[routing]") {
  double last = 0;
  for (std::int64_t limit = 1; limit <= 8; ++limit) {
    CAPTURE(limit);
    const RoutingSampler sampler(v3_problem(limit));
    CHECK(sampler.nodes_per_token() <= static_cast<double>(limit));
    CHECK(sampler.nodes_per_token() >= last);
    CHECK(sampler.ranks_per_token() >= sampler.nodes_per_token());
    CHECK(sampler.ranks_per_token() <= 8);
    if (limit <= 3) CHECK(sampler.nodes_per_token() > static_cast<double>(limit) - 0.1);
    last = sampler.nodes_per_token();
  }
}

TEST_CASE("routing: every (token, expert) pair is computed once", "[routing]") {
  Random random(5);
  auto pick = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random.uniform() * static_cast<double>(n));
  };
  for (int trial = 0; trial < 30; ++trial) {
    const std::int64_t ep = std::int64_t{1} << pick(6), per_rank = 1 + pick(5);
    const std::int64_t experts = ep * per_rank;
    const std::int64_t groups = ep > 1 && trial % 2 == 0 ? std::max<std::int64_t>(2, ep / 4) : 1;
    const std::int64_t max = 1 + pick(groups);
    const std::int64_t top_k = 1 + pick(std::min<std::int64_t>(8, max * (experts / groups)));
    const std::int64_t tokens = 1 + pick(500);
    // Loads of whatever size a token can give.
    const double most_cv =
        std::sqrt(static_cast<double>(experts) / static_cast<double>(top_k) - 1) / 4;
    RoutingProblem problem = problem_of(moe_of(experts, top_k, groups, max), ep);
    problem.ranks_per_node = std::min<std::int64_t>(ep, 4);
    problem.num_layers = 2;
    if (trial % 3 > 0) problem.spec.popularity = dirichlet(most_cv);
    if (ep > 1 && trial % 5 == 0) problem.placement = {PlacementPolicy::eplb_global, ep, {}};
    CAPTURE(ep, experts, groups, max, top_k, tokens, most_cv);
    const RoutingSampler sampler(problem);
    const std::int64_t slots = sampler.slots_per_rank();
    for (std::int64_t draw = 0; draw < 5; ++draw) {
      const auto ranks = sampler.sample(tokens, draw, draw % 2, 3 * draw);
      REQUIRE(static_cast<std::int64_t>(ranks.size()) == ep);
      CHECK(total(rows_of(ranks)) == static_cast<double>(tokens * ep * top_k));
      double received = 0, sent = 0;
      for (const RankTraffic& r : ranks) {
        CHECK(r.load.rows >= 0);
        CHECK(r.load.padded_rows >= r.load.rows);
        CHECK(r.load.padded_rows < r.load.rows + 128 * slots);
        CHECK(r.load.padded_rows % 128 == 0);
        CHECK(r.load.tokens_received % 8 == 0);
        CHECK(r.load.tokens_received <= r.load.rows + 4);
        received += r.nic_rows_received;
        sent += r.nic_rows_sent;
      }
      // What enters all NICs is what leaves them.
      CHECK(received == Approx(sent).margin(1e-9));
      if (problem.spec.popularity.kind == PopularityKind::uniform &&
          problem.placement.redundant_experts == 0) {
        const auto nodes = static_cast<double>(sampler.num_nodes());
        CHECK(received == Approx(static_cast<double>(tokens * ep) * sampler.nodes_per_token() *
                                 (nodes - 1) / nodes)
                              .margin(1e-9));
      }
    }
  }
}

TEST_CASE("routing: loads spread as tokens routed one by one do", "[routing]") {
  const RoutingProblem problem = small_problem();
  const std::int64_t tokens = 64;
  const double mean = 64 * 4;
  const RoutingSampler sampler(problem);
  const int routed_trials = 500, drawn_trials = 4000;
  const LoadMoments routed =
      routed_moments(problem, sampler.law(0).placement, tokens, routed_trials);
  const LoadMoments drawn = drawn_moments(sampler, tokens, drawn_trials);
  for (std::size_t r = 0; r < 8; ++r) {  // 4.5 standard errors
    const double deviation = 4.5 * std::sqrt(routed.variance);
    CHECK(routed.mean[r] == Approx(mean).margin(deviation / std::sqrt(routed_trials)));
    CHECK(drawn.mean[r] == Approx(mean).margin(deviation / std::sqrt(drawn_trials)));
  }
  // Eight ranks, seven of them independent: the variance is known to sqrt(2 / (7 x 500)) = 2.4 %.
  const double error = 4 * routed.variance * std::sqrt(2.0 / (7 * routed_trials));
  CHECK(drawn.variance == Approx(routed.variance).margin(error));
  CHECK(drawn.neighbours == Approx(routed.neighbours).margin(error));
  CHECK(drawn.strangers == Approx(routed.strangers).margin(error));
  // Ranks of one node rise and fall together, others against each other: more than chance.
  CHECK(drawn.neighbours > error);
  CHECK(drawn.strangers < 0);
}

TEST_CASE("routing: loads of unequal experts spread as their tokens do", "[routing]") {
  const RoutingProblem problem = small_problem(dirichlet(0.6));
  const std::int64_t tokens = 128;
  const RoutingSampler sampler(problem);
  CHECK(sampler.law(0).residual < 0.02);
  const int trials = 300;
  const LoadMoments routed = routed_moments(problem, sampler.law(0).placement, tokens, trials);
  const LoadMoments drawn = drawn_moments(sampler, tokens, 4000);
  const double error = 4 * routed.variance * std::sqrt(2.0 / (7 * trials));
  CHECK(drawn.variance == Approx(routed.variance).margin(error));
  CHECK(drawn.neighbours == Approx(routed.neighbours).margin(error));
  CHECK(drawn.strangers == Approx(routed.strangers).margin(error));
}

TEST_CASE("routing: an expert's count is binomial, whatever its popularity", "[routing]") {
  // One expert a rank, without groups: tokens are independent, so n p (1 - p) is exact.
  for (const double cv : {0.0, 0.4, 0.8}) {
    const RoutingSampler sampler(problem_of(moe_of(16, 4, 1, 1), 16, dirichlet(cv)));
    const double n = 16 * 1024;
    double squares = 0;
    const int trials = 1000;
    for (int i = 0; i < trials; ++i) {
      const auto rows = rows_of(sampler.sample(1024, 0, 0, i));
      for (std::size_t e = 0; e < 16; ++e) {
        const double p = sampler.law(0).expert_mean[e];
        squares += std::pow(rows[e] - n * p, 2) / (n * p * (1 - p)) / (16 * trials);
      }
    }
    CAPTURE(cv);
    CHECK(squares == Approx(1).margin(0.05));  // 15 x 1000 squares: 1.2 %
  }
}

TEST_CASE("routing: draws have the means of their law, and the law those asked for", "[routing]") {
  for (const PopularitySpec& popularity : {dirichlet(0.3), zipf(0.5), PopularitySpec{}}) {
    RoutingProblem problem = problem_of(moe_of(64, 4, 8, 4), 64, popularity);
    problem.num_layers = 2;
    const RoutingSampler sampler(problem);
    for (const std::int64_t layer : {0, 1}) {
      const RoutingLaw& law = sampler.law(layer);
      const auto wanted = relative_load(popularity, 64, problem.seed, layer);
      CHECK(total(law.expert_mean) == Approx(4));
      CHECK(law.rank_rows_per_copy.size() == 64);
      CHECK(law.node_rows_per_copy.size() == 8);
      CHECK(law.residual < 0.05);
      std::vector<double> mean(64, 0);
      const int trials = 100;
      for (int i = 0; i < trials; ++i) {
        const auto rows = rows_of(sampler.sample(4096, 0, layer, i));
        for (std::size_t e = 0; e < 64; ++e) mean[e] += rows[e] / trials;
      }
      const double n = 64 * 4096;
      for (std::size_t e = 0; e < 64; ++e) {
        const double p = law.expert_mean[e];
        CHECK(std::abs(p * 16 - wanted[e]) <= law.residual + 1e-9);
        // A twentieth of a count from rounding leftovers, and 4.5 standard errors.
        CHECK(mean[e] == Approx(n * p).margin(1 + 4.5 * std::sqrt(n * p * (1 - p) / trials)));
      }
    }
  }
}

TEST_CASE("routing: a sampler with another's laws draws what one with its own does", "[routing]") {
  RoutingProblem problem = problem_of(moe_of(64, 4, 1, 1), 64, dirichlet(0.3));
  const RoutingSampler first(problem);
  problem.spec.sequence_cv = 0.5;
  CHECK(first.has_laws_of(problem));
  const auto own = RoutingSampler(problem).sample(4096, 0, 0, 1);
  const auto shared = RoutingSampler(problem, first).sample(4096, 0, 0, 1);
  for (std::size_t r = 0; r < own.size(); ++r) CHECK(own[r].load.rows == shared[r].load.rows);
  CHECK(rows_of(own) != rows_of(first.sample(4096, 0, 0, 1)));
  problem.seed += 1;
  CHECK_FALSE(first.has_laws_of(problem));
  problem.seed -= 1;
  problem.spec.popularity = dirichlet(0.4);
  CHECK_FALSE(first.has_laws_of(problem));
}

TEST_CASE("routing: popularity stays with the layer", "[routing]") {
  RoutingProblem problem = problem_of(moe_of(64, 4, 1, 1), 64, dirichlet(0.3));
  problem.num_layers = 2;
  const RoutingSampler sampler(problem);
  const auto distance = [](const std::vector<RankTraffic>& a, const std::vector<RankTraffic>& b) {
    double sum = 0;
    for (std::size_t r = 0; r < a.size(); ++r)
      sum += std::abs(static_cast<double>(a[r].load.rows - b[r].load.rows)) / 16384 / 64;
    return sum;
  };
  CHECK(distance(sampler.sample(4096, 0, 1, 8), sampler.sample(4096, 1, 1, 9)) < 0.02);
  CHECK(distance(sampler.sample(4096, 0, 0, 8), sampler.sample(4096, 0, 1, 8)) > 0.2);
}
