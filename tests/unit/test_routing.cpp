// Expert selection against a brute force, conservation, published visit counts, and the sampled
// loads of a group against routing its tokens one by one.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "model/routing.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

using Choice = std::vector<std::int64_t>;

// All ascending choices of `k` out of [0, n).
std::vector<Choice> subsets(std::int64_t n, std::int64_t k) {
  std::vector<Choice> all;
  std::vector<bool> taken(static_cast<std::size_t>(n), false);
  std::fill(taken.begin(), taken.begin() + k, true);
  do {  // prev_permutation from the lexicographically largest mask: ascending choices
    Choice c;
    for (std::int64_t i = 0; i < n; ++i)
      if (taken[static_cast<std::size_t>(i)]) c.push_back(i);
    all.push_back(c);
  } while (std::prev_permutation(taken.begin(), taken.end()));
  return all;
}

// The choice with the largest sum of values; of equal ones the lexicographically smallest.
Choice best_subset(const std::vector<double>& value, const Choice& from, std::int64_t k) {
  Choice best;
  double best_sum = -1e300;
  for (const Choice& places : subsets(static_cast<std::int64_t>(from.size()), k)) {
    Choice c;
    double sum = 0;
    for (const std::int64_t p : places) {
      c.push_back(from[static_cast<std::size_t>(p)]);
      sum += value[static_cast<std::size_t>(c.back())];
    }
    if (sum > best_sum) {
      best_sum = sum;
      best = c;
    }
  }
  return best;
}

Choice range(std::int64_t from, std::int64_t to) {
  Choice all(static_cast<std::size_t>(to - from));
  std::iota(all.begin(), all.end(), from);
  return all;
}

// The rule as the V3 report words it, by trying everything.
Choice brute_force(const std::vector<double>& affinity,
                   std::int64_t top_k,
                   std::int64_t num_groups,
                   std::int64_t max_groups) {
  const std::int64_t size = static_cast<std::int64_t>(affinity.size()) / num_groups;
  if (max_groups >= num_groups) return best_subset(affinity, range(0, size * num_groups), top_k);
  std::vector<double> score;
  const std::int64_t counted = std::min(size, std::max<std::int64_t>(1, top_k / max_groups));
  for (std::int64_t g = 0; g < num_groups; ++g) {
    double sum = 0;
    for (const std::int64_t e : best_subset(affinity, range(g * size, (g + 1) * size), counted))
      sum += affinity[static_cast<std::size_t>(e)];
    score.push_back(sum);
  }
  Choice candidates;
  for (const std::int64_t g : best_subset(score, range(0, num_groups), max_groups))
    for (const std::int64_t e : range(g * size, (g + 1) * size)) candidates.push_back(e);
  return best_subset(affinity, candidates, top_k);
}

MoeSpec moe_of(std::int64_t experts, std::int64_t top_k, std::int64_t groups, std::int64_t max) {
  MoeSpec moe;
  moe.num_experts = experts;
  moe.top_k = top_k;
  moe.num_groups = groups;
  moe.max_groups = max;
  return moe;
}
RoutingSpec sampled(std::int64_t max_groups, double popularity_cv = 0) {
  return {RoutingKind::sampled, max_groups, popularity_cv};
}

std::int64_t total_rows(const std::vector<RankTraffic>& ranks) {
  std::int64_t rows = 0;
  for (const RankTraffic& r : ranks) rows += r.load.rows;
  return rows;
}

// Means over trials of the rank loads, their variance, and the covariance of rank 0 with others.
struct LoadMoments {
  std::vector<double> sum;
  double squares = 0, neighbours = 0, strangers = 0;  // over ranks and trials, about the mean
  double trials = 0;
  void add(const std::vector<double>& rows, double mean, std::size_t ranks_per_group) {
    sum.resize(rows.size());
    const auto n = static_cast<double>(rows.size()), g = static_cast<double>(ranks_per_group);
    trials += 1;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      sum[i] += rows[i];
      squares += (rows[i] - mean) * (rows[i] - mean) / n;
      for (std::size_t j = 0; j < rows.size(); ++j) {
        const double product = (rows[i] - mean) * (rows[j] - mean);
        const bool same_group = i / ranks_per_group == j / ranks_per_group;
        if (i != j && same_group) neighbours += product / (n * (g - 1));
        if (!same_group) strangers += product / (n * (n - g));
      }
    }
  }
};

}  // namespace

TEST_CASE("routing: selection equals a brute force, ties included", "[routing]") {
  Random random(11);
  auto pick = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random.uniform() * static_cast<double>(n));
  };
  int ties = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    const std::int64_t num_groups = 1 + pick(4), size = 1 + pick(3);
    const std::int64_t max_groups = 1 + pick(num_groups);
    const std::int64_t top_k = 1 + pick(max_groups * size);
    std::vector<double> affinity(static_cast<std::size_t>(num_groups * size));
    const bool small_integers = trial % 2 == 0;  // sums are exact, and ties abound
    for (double& a : affinity) a = small_integers ? static_cast<double>(pick(3)) : random.normal();
    const std::set<double> distinct(affinity.begin(), affinity.end());
    ties += distinct.size() < affinity.size();
    CAPTURE(trial, num_groups, max_groups, top_k, affinity);
    const Choice chosen = select_experts(affinity, top_k, num_groups, max_groups);
    CHECK(chosen == brute_force(affinity, top_k, num_groups, max_groups));
    std::set<std::int64_t> groups;
    for (const std::int64_t e : chosen) groups.insert(e / size);
    CHECK(static_cast<std::int64_t>(groups.size()) <= max_groups);
  }
  CHECK(ties > 1000);
}

TEST_CASE("routing: the lowest index wins a tie", "[routing]") {
  CHECK(select_experts({1, 1, 1, 1}, 2, 1, 1) == Choice{0, 1});
  CHECK(select_experts({0, 1, 1, 1}, 2, 1, 1) == Choice{1, 2});
  CHECK(select_experts({5, 0, 2, 3, 5, 0}, 2, 3, 1) == Choice{0, 1});  // equal groups too
  CHECK(select_experts({5, 0, 3, 3, 5, 0}, 2, 3, 1) == Choice{2, 3});  // best two: 5, 6, 5
  CHECK(select_experts({9, 0, 4, 4, 3, 3}, 1, 3, 1) == Choice{0});     // top-1: the best one
  CHECK(select_experts({9, 0, 4, 4, 3, 3}, 2, 3, 2) == Choice{0, 2});
}

TEST_CASE("routing: V3 visits 3.97 nodes and 7.49 ranks", "[routing]") {
  // EP64 over 8 nodes, top-8 of 256 in at most 4 of 8 groups (trace README, section 1).
  const MoeSpec moe = *shipped_model("deepseek-v3").moe;
  for (const std::uint64_t seed : {1, 2, 3}) {
    const TokenStatistics s = RoutingSampler(moe, sampled(4), {64, 8}, seed).statistics();
    CHECK(std::abs(s.nodes_per_token - 3.97) <= 0.01);
    CHECK(std::abs(s.ranks_per_token - 7.49) <= 0.02);
    CHECK(s.remote_nodes_per_token({64, 8}) == Approx(s.nodes_per_token * 7 / 8));
  }
  // Without the limit, 8 of 256 experts fall on 8 x (1 - C(224, 8) / C(256, 8)) nodes.
  double none = 1;
  for (int i = 0; i < 8; ++i) none *= (224.0 - i) / (256.0 - i);
  const TokenStatistics free = RoutingSampler(moe, sampled(8), {64, 8}, 1).statistics();
  CHECK(free.nodes_per_token == Approx(8 * (1 - none)).epsilon(0.005));
  // On one node nothing is remote.
  const TokenStatistics one = RoutingSampler(moe, sampled(4), {8, 8}, 1).statistics();
  CHECK(one.nodes_per_token == 1);
  CHECK(one.remote_nodes_per_token({8, 8}) == 0);
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
    const std::int64_t tokens = 1 + pick(500), ranks_per_node = std::min<std::int64_t>(ep, 4);
    const double cv = trial % 3 == 0 ? 0.5 : 0;
    CAPTURE(ep, experts, groups, max, top_k, tokens, cv);
    const RoutingSampler sampler(
        moe_of(experts, top_k, groups, max), sampled(max, cv), {ep, ranks_per_node}, 3);
    for (std::int64_t draw = 0; draw < 5; ++draw) {
      const auto ranks = sampler.sample(tokens, draw, 2 * draw, 3 * draw);
      REQUIRE(static_cast<std::int64_t>(ranks.size()) == ep);
      CHECK(total_rows(ranks) == tokens * ep * top_k);
      double nic = 0;
      for (const RankTraffic& r : ranks) {
        CHECK(r.load.rows >= 0);
        CHECK(r.load.padded_rows >= r.load.rows);
        CHECK(r.load.padded_rows < r.load.rows + 128 * per_rank);
        CHECK(r.load.padded_rows % 128 == 0);
        CHECK(r.load.tokens_received % 8 == 0);
        CHECK(r.load.tokens_received <= r.load.rows + 4);
        nic += r.nic_rows_received;
      }
      // What enters all NICs is what leaves them.
      const double sent = static_cast<double>(tokens * ep) *
                          sampler.statistics().remote_nodes_per_token(sampler.placement());
      CHECK(nic == Approx(sent).margin(1e-9));
    }
  }
}

TEST_CASE("routing: a group's loads agree with its tokens routed one by one", "[routing]") {
  // 16 experts in 4 groups, two experts a rank: ranks 2g and 2g + 1 share group g.
  const MoeSpec moe = moe_of(16, 4, 4, 2);
  const std::int64_t ep = 8, tokens = 64, all = tokens * ep;
  const double mean = static_cast<double>(tokens * moe.top_k);
  const RoutingSampler sampler(moe, sampled(2), {ep, 2}, 17);

  LoadMoments one_by_one, drawn;
  Random random(23);
  for (int trial = 0; trial < 500; ++trial) {
    std::vector<double> rows(static_cast<std::size_t>(ep), 0.0), affinity(16);
    for (std::int64_t t = 0; t < all; ++t) {
      for (double& a : affinity) a = random.normal();
      for (const std::int64_t e : select_experts(affinity, 4, 4, 2))
        rows[static_cast<std::size_t>(e / 2)] += 1;
    }
    one_by_one.add(rows, mean, 2);
  }
  for (int trial = 0; trial < 4000; ++trial) {
    std::vector<double> rows;
    for (const RankTraffic& r : sampler.sample(tokens, trial % 7, trial % 61, trial))
      rows.push_back(static_cast<double>(r.load.rows));
    drawn.add(rows, mean, 2);
  }
  const double variance = one_by_one.squares / one_by_one.trials;
  const double deviation = std::sqrt(variance);
  for (std::size_t r = 0; r < 8; ++r) {  // 4.5 standard errors
    CHECK(one_by_one.sum[r] / 500 == Approx(mean).margin(4.5 * deviation / std::sqrt(500)));
    CHECK(drawn.sum[r] / 4000 == Approx(mean).margin(4.5 * deviation / std::sqrt(4000)));
  }
  // Eight ranks, seven of them independent: the variance is known to sqrt(2 / (7 x 500)) = 2.4 %.
  const double error = variance * std::sqrt(2.0 / (7 * 500)) * 4;
  CHECK(drawn.squares / 4000 == Approx(variance).margin(error));
  CHECK(drawn.neighbours / 4000 == Approx(one_by_one.neighbours / 500).margin(error));
  CHECK(drawn.strangers / 4000 == Approx(one_by_one.strangers / 500).margin(error));
  // Ranks of one group rise and fall together, others against each other: more than chance.
  CHECK(drawn.neighbours / 4000 > error);
  CHECK(drawn.strangers / 4000 < 0);
  const double binomial = static_cast<double>(all) * 0.5 * (1 - 0.5);
  CHECK(variance > 0.5 * binomial);
}

TEST_CASE("routing: balanced loads are the expectation", "[routing]") {
  const MoeSpec moe = *shipped_model("deepseek-v3").moe;
  const RoutingSampler sampler(moe, sampled(4), {64, 8}, 1);
  const RankTraffic balanced = sampler.balanced(4096);
  CHECK(balanced.load.rows == 32768);                            // 4096 x 8
  CHECK(balanced.load.padded_rows == 32768);                     // four experts of 8192
  CHECK(std::abs(balanced.load.tokens_received - 30685) <= 60);  // 4096 x 7.49
  CHECK(balanced.nic_rows_received == Approx(4096 * 3.97 * 7 / 8).epsilon(0.003));

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

  const RoutingSampler even(moe, {RoutingKind::balanced, 4, 0}, {64, 8}, 1);
  for (const RankTraffic& r : even.sample(4096, 3, 5, 7)) {
    CHECK(r.load == balanced.load);
    CHECK(r.nic_rows_received == balanced.nic_rows_received);
  }
  // A share that does not divide: 10 tokens x top-8 over 3 experts is 27 + 27 + 26.
  const RoutingSampler odd(moe_of(6, 2, 1, 1), {RoutingKind::balanced, 1, 0}, {2, 2}, 1);
  CHECK(odd.balanced(10).load.rows == 20);
  CHECK(odd.balanced(10).load.padded_rows == 3 * 128);
}

TEST_CASE("routing: the same arguments give the same loads, others do not", "[routing]") {
  const MoeSpec moe = *shipped_model("deepseek-v3").moe;
  const RoutingSampler sampler(moe, sampled(4), {64, 8}, 1), again(moe, sampled(4), {64, 8}, 1);
  const RoutingSampler other(moe, sampled(4), {64, 8}, 2);
  auto loads =
      [](const RoutingSampler& s, std::int64_t group, std::int64_t layer, std::int64_t microbatch) {
        std::vector<RankLoad> all;
        for (const RankTraffic& r : s.sample(4096, group, layer, microbatch)) all.push_back(r.load);
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
}

TEST_CASE("routing: unequal popularity stays with the expert", "[routing]") {
  const RoutingSampler sampler(moe_of(64, 4, 1, 1), sampled(1, 0.3), {64, 8}, 9);
  std::vector<double> mean(64, 0.0);
  for (int i = 0; i < 40; ++i) {
    const auto ranks = sampler.sample(4096, 0, 5, i);
    for (std::size_t e = 0; e < 64; ++e) mean[e] += static_cast<double>(ranks[e].load.rows) / 40;
  }
  double variance = 0;
  for (const double m : mean) variance += std::pow(m / 16384 - 1, 2) / 64;
  CHECK(std::sqrt(variance) == Approx(0.3).margin(0.08));  // 64 draws: 0.3 / sqrt(128) = 0.027
  // One microbatch follows the popularity of its layer, not its own.
  const auto one = sampler.sample(4096, 0, 5, 99), elsewhere = sampler.sample(4096, 0, 6, 99);
  double same_layer = 0, other_layer = 0;
  for (std::size_t e = 0; e < 64; ++e) {
    same_layer += std::abs(static_cast<double>(one[e].load.rows) / mean[e] - 1) / 64;
    other_layer += std::abs(static_cast<double>(elsewhere[e].load.rows) / mean[e] - 1) / 64;
  }
  CHECK(same_layer < 0.02);
  CHECK(other_layer > 0.1);
}

TEST_CASE("routing: V2 scores a group by its best expert, V3 by the sum of its best") {
  // Three groups of three; a token may visit one and takes two experts.
  const std::vector<double> affinity = {0.9, 0.1, 0.0, 0.6, 0.5, 0.0, 0.2, 0.2, 0.2};
  CHECK(select_experts(affinity, 2, 3, 1, 1) == std::vector<std::int64_t>{0, 1});  // best 0.9
  CHECK(select_experts(affinity, 2, 3, 1) == std::vector<std::int64_t>{3, 4});     // 1.1 > 1.0
}
