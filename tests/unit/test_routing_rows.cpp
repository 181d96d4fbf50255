// Replicas, the rows of every source against tokens routed one by one, sequences and correlation,
// balanced routing, and what a draw depends on.
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "tests/catch.hpp"
#include "tests/routing_problems.hpp"

using namespace moesim;

TEST_CASE("routing: replicas share the rows of their expert", "[routing]") {
  RoutingProblem problem = problem_of(moe_of(16, 4, 1, 1), 8, zipf(0.6));
  const RoutingSampler plain(problem);
  problem.placement = {PlacementPolicy::eplb_global, 8, {}};
  const RoutingSampler balanced(problem);
  CHECK(plain.slots_per_rank() == 2);
  CHECK(balanced.slots_per_rank() == 3);
  CHECK(balanced.law(0).expert_mean == plain.law(0).expert_mean);

  // A rank's rows are the shares of its slots, to the row.
  const Placement& placement = balanced.law(0).placement;
  const auto counts = [&](const RoutingSampler& sampler) {
    return rows_of(sampler.sample(1000, 0, 0, 4));
  };
  const RoutingProblem& p = balanced.problem();
  RoutingProblem one_rank_each = p;
  one_rank_each.ep = 16;
  one_rank_each.ranks_per_node = 8;
  one_rank_each.placement = {};
  // The same draw of 8000 tokens, expert by expert.
  const auto of_expert = rows_of(RoutingSampler(one_rank_each).sample(500, 0, 0, 4));
  std::vector<double> least(8, 0), most(8, 0);
  for (std::int64_t slot = 0; slot < placement.num_slots(); ++slot) {
    const std::int32_t e = placement.slot_to_expert[static_cast<std::size_t>(slot)];
    const double share = of_expert[static_cast<std::size_t>(e)] /
                         static_cast<double>(balanced.law(0).slots.of(e).size());
    const auto rank = static_cast<std::size_t>(placement.rank_of_slot(slot));
    least[rank] += std::floor(share);
    most[rank] += std::ceil(share);
  }
  const auto rows = counts(balanced);
  for (std::size_t r = 0; r < 8; ++r) {
    CHECK(rows[r] >= least[r]);
    CHECK(rows[r] <= most[r]);
  }
  // What it is for: the fullest rank has less to do.
  const auto fullest = [](const std::vector<double>& loads) {
    return *std::max_element(loads.begin(), loads.end()) / 4000;
  };
  CHECK(fullest(counts(plain)) > 1.15);
  CHECK(fullest(rows) < 1.06);
}

TEST_CASE("routing: rows of every source as tokens routed one by one give them", "[routing]") {
  RoutingProblem skewed = small_problem(dirichlet(0.4)), redundant = skewed;
  redundant.placement = {PlacementPolicy::eplb_hierarchical, 8, {}};
  RoutingProblem correlated = small_problem();
  correlated.spec.correlation = {0.5, 2};
  // Groups 0 and 1 as usual; those of nodes 2 and 3 are mixed.
  RoutingProblem table = small_problem();
  table.placement = {PlacementPolicy::table,
                     0,
                     std::make_shared<const Placement>(Placement{
                         16, 8, 2, 2, {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 9, 13, 10, 14, 11, 15}})};
  for (const RoutingProblem& problem : {small_problem(), skewed, redundant, correlated, table}) {
    const RoutingSampler sampler(problem);
    const Placement& placement = sampler.law(0).placement;
    const std::int64_t tokens = 128;
    const int trials = 40;
    CAPTURE(sampler.law(0).residual, sampler.slots_per_rank());
    TokenByToken router(problem, offsets_of(problem));
    // By destination, over all sources: these are alike.
    struct Rows {
      std::vector<double> copies = std::vector<double>(8), to_rank = copies,
                          to_node = std::vector<double>(4);
      void add(const RowCounts& counts) {
        for (std::int64_t source = 0; source < 8; ++source) {
          for (std::int64_t r = 0; r < 8; ++r) {
            copies[static_cast<std::size_t>(r)] += counts.copies[counts.to_rank(source, r)];
            to_rank[static_cast<std::size_t>(r)] += counts.rows_to_rank[counts.to_rank(source, r)];
          }
          for (std::int64_t n = 0; n < 4; ++n)
            to_node[static_cast<std::size_t>(n)] += counts.rows_to_node[counts.to_node(source, n)];
        }
      }
    } drawn, routed;
    for (int i = 0; i < trials; ++i) {
      const RowCounts rows = sampler.sample_rows(tokens, 0, 0, i);
      for (std::int64_t source = 0; source < 8; ++source) {
        double copies = 0;
        for (std::int64_t r = 0; r < 8; ++r) {
          const std::size_t to = rows.to_rank(source, r);
          CHECK(rows.rows_to_rank[to] <= rows.copies[to]);
          copies += rows.copies[to];
        }
        CHECK(copies == static_cast<double>(tokens * 4));
      }
      drawn.add(rows);
      routed.add(count_rows(router.route(tokens, 8), placement));
    }
    // Rows per copy are known from 4,096 tokens: of the 1,000 or more that meet a rank, to 2 %.
    for (std::size_t r = 0; r < 8; ++r) {
      CHECK(drawn.copies[r] == Approx(routed.copies[r]).epsilon(0.05));
      CHECK(drawn.to_rank[r] == Approx(routed.to_rank[r]).epsilon(0.05));
    }
    for (std::size_t n = 0; n < 4; ++n)
      CHECK(drawn.to_node[n] == Approx(routed.to_node[n]).epsilon(0.05));
    const double all = 8 * tokens * trials;
    CHECK(total(drawn.to_node) == Approx(all * sampler.nodes_per_token()).epsilon(0.01));
    CHECK(total(drawn.to_rank) == Approx(all * sampler.ranks_per_token()).epsilon(0.01));
    CHECK(total(routed.to_node) == Approx(all * sampler.nodes_per_token()).epsilon(0.02));
    CHECK(total(routed.to_rank) == Approx(all * sampler.ranks_per_token()).epsilon(0.02));
  }
}

TEST_CASE("routing: sequences about different things spread the loads", "[routing]") {
  // One expert on each of 16 ranks. Counts of single tokens vary by (1 - p) / n p; S sequences,
  // each with a popularity of its own, add cv^2 / S.
  RoutingProblem problem = problem_of(moe_of(16, 2, 1, 1), 16);
  problem.spec.sequence_cv = 0.5;
  const std::int64_t tokens = 512;
  const double n = 16 * 512, mean = n * 2 / 16;
  const auto relative_variance = [&](const std::vector<std::vector<double>>& loads) {
    return moments_of(loads, 8).variance / (mean * mean);
  };
  const double of_tokens = (1 - 2. / 16) / mean;
  const int trials = 300;  // 15 x 300 squares: 2.1 %
  for (const std::int64_t ranks_per_sequence : {1, 4, 16}) {
    problem.ranks_per_sequence = ranks_per_sequence;
    const RoutingSampler sampler(problem);
    std::vector<std::vector<double>> drawn;
    for (int i = 0; i < trials; ++i) drawn.push_back(rows_of(sampler.sample(tokens, 0, 0, i)));
    const double sequences = 16. / static_cast<double>(ranks_per_sequence);
    CHECK(relative_variance(drawn) == Approx(of_tokens + 0.25 / sequences).epsilon(0.1));
  }
  // Where every sequence draws its own popularity, its ranks alike, they add up to the same.
  for (const std::int64_t ranks_per_sequence : {1, 4}) {
    problem.ranks_per_sequence = ranks_per_sequence;
    const RoutingSampler sampler(problem);
    std::vector<std::vector<double>> summed;
    for (int i = 0; i < trials; ++i) {
      const RowCounts rows = sampler.sample_rows(tokens, 0, 0, i);
      summed.emplace_back(16, 0.0);
      for (std::int64_t source = 0; source < 16; ++source)
        for (std::int64_t r = 0; r < 16; ++r)
          summed.back()[static_cast<std::size_t>(r)] += rows.copies[rows.to_rank(source, r)];
    }
    const double sequences = 16. / static_cast<double>(ranks_per_sequence);
    CHECK(relative_variance(summed) == Approx(of_tokens + 0.25 / sequences).epsilon(0.12));
  }
}

TEST_CASE("routing: a source has no more rows for anyone than tokens", "[routing]") {
  RoutingProblem problem = small_problem(dirichlet(0.6));
  problem.spec.sequence_cv = 1.7;  // some sequences want little but one expert
  const RoutingSampler sampler(problem);
  bool reached = false;
  for (int i = 0; i < 50; ++i) {
    const RowCounts rows = sampler.sample_rows(100, 0, 0, i);
    for (const std::vector<double>* counts : {&rows.rows_to_rank, &rows.rows_to_node}) {
      const double most = *std::max_element(counts->begin(), counts->end());
      CHECK(most <= 100);
      reached = reached || most == 100;
    }
  }
  CHECK(reached);
}

TEST_CASE("routing: experts that are wanted together meet on a rank", "[routing]") {
  RoutingProblem problem = v3_problem();
  const double alone = RoutingSampler(problem).ranks_per_token();
  problem.spec.correlation = {0.5, 4};  // the four experts of a rank
  CHECK(RoutingSampler(problem).ranks_per_token() < 0.8 * alone);
  // Round robin parts them again.
  problem.placement.policy = PlacementPolicy::round_robin;
  CHECK(RoutingSampler(problem).ranks_per_token() > 0.95 * alone);
}

TEST_CASE("routing: balanced loads are the expectation", "[routing]") {
  const RoutingSampler sampler(v3_problem());
  const RankTraffic balanced = sampler.balanced(4096);
  CHECK(balanced.load.rows == 32768);                            // 4096 x 8
  CHECK(balanced.load.padded_rows == 32768);                     // four experts of 8192
  CHECK(std::abs(balanced.load.tokens_received - 30656) <= 60);  // 4096 x 7.48, trace README
  CHECK(balanced.nic_rows_received == Approx(4096 * 3.97 * 7 / 8).epsilon(0.003));
  CHECK(balanced.nic_rows_sent == balanced.nic_rows_received);

  double rows = 0, received = 0, nic = 0, padded = 0, squares = 0;
  const int draws = 50;
  for (int i = 0; i < draws; ++i)
    for (const RankTraffic& r : sampler.sample(4096, 0, i % 58, i)) {
      rows += static_cast<double>(r.load.rows);
      squares += std::pow(static_cast<double>(r.load.rows) - 32768, 2);
      padded += static_cast<double>(r.load.padded_rows);
      received += static_cast<double>(r.load.tokens_received);
      nic += r.nic_rows_received;
    }
  const double n = draws * 64;
  CHECK(rows / n == 32768);
  CHECK(received / n == Approx(static_cast<double>(balanced.load.tokens_received)).epsilon(2e-4));
  CHECK(nic / n == Approx(balanced.nic_rows_received));
  CHECK(padded / n - rows / n == Approx(4 * 63.5).epsilon(0.05));  // half a tile an expert
  // Popularity alike: a standard deviation of half a percent (trace README: its -13..+12.5 % is
  // larger than independent tokens give).
  CHECK(std::sqrt(squares / n) / 32768 == Approx(0.0056).epsilon(0.15));

  RoutingProblem even = v3_problem();
  even.spec.kind = RoutingKind::balanced;
  for (const RankTraffic& r : RoutingSampler(even).sample(4096, 3, 5, 7)) {
    CHECK(r.load == balanced.load);
    CHECK(r.nic_rows_received == balanced.nic_rows_received);
  }
  // A share that does not divide: 20 rows on three experts are 7 + 7 + 6, a tile each.
  const RoutingSampler odd(problem_of(moe_of(6, 2, 1, 1), 2));
  CHECK(odd.balanced(10).load.rows == 20);
  CHECK(odd.balanced(10).load.padded_rows == 3 * 128);
}

TEST_CASE("routing: the same arguments give the same loads, others do not", "[routing]") {
  RoutingProblem problem = small_problem(dirichlet(0.3));
  problem.num_layers = 5;
  const RoutingSampler sampler(problem), again(problem), threaded(problem, 3);
  problem.seed = 18;
  const RoutingSampler other(problem);
  const auto loads = [](const RoutingSampler& sampled_by,
                        std::int64_t group,
                        std::int64_t layer,
                        std::int64_t microbatch) {
    std::vector<RankLoad> all;
    for (const RankTraffic& r : sampled_by.sample(512, group, layer, microbatch))
      all.push_back(r.load);
    return all;
  };
  const auto base = loads(sampler, 1, 2, 3);
  CHECK(loads(sampler, 1, 2, 3) == base);
  CHECK(loads(again, 1, 2, 3) == base);
  CHECK(loads(other, 1, 2, 3) != base);
  CHECK(loads(sampler, 0, 2, 3) != base);
  CHECK(loads(sampler, 1, 0, 3) != base);
  CHECK(loads(sampler, 1, 2, 0) != base);
  CHECK(loads(sampler, 2, 1, 3) != base);

  for (std::int64_t layer = 0; layer < 5; ++layer) {
    CHECK(loads(threaded, 1, layer, 3) == loads(sampler, 1, layer, 3));
    CHECK(threaded.law(layer).expert_mean == sampler.law(layer).expert_mean);
    CHECK(threaded.law(layer).rank_rows_per_copy == sampler.law(layer).rank_rows_per_copy);
  }
  CHECK(threaded.nodes_per_token() == sampler.nodes_per_token());
  const RowCounts rows = sampler.sample_rows(512, 1, 2, 3);
  CHECK(threaded.sample_rows(512, 1, 2, 3).copies == rows.copies);
  CHECK(threaded.sample_rows(512, 1, 2, 3).rows_to_node == rows.rows_to_node);
  CHECK(sampler.sample_rows(512, 1, 2, 4).copies != rows.copies);
}
