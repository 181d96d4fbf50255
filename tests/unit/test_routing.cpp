// Published visit counts and their closed forms; the draws of a group's loads against tokens routed
// one by one, and against the law they are drawn from; conservation; and what a draw depends on.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "model/routing.hpp"
#include "tests/catch.hpp"
#include "tests/shipped_data.hpp"

using namespace moesim;

namespace {

MoeSpec moe_of(std::int64_t experts, std::int64_t top_k, std::int64_t groups, std::int64_t max) {
  MoeSpec moe;
  moe.num_experts = experts;
  moe.top_k = top_k;
  moe.num_groups = groups;
  moe.max_groups = max;
  moe.score = ScoreFunction::sigmoid;
  return moe;
}

PopularitySpec dirichlet(double cv) { return {.kind = PopularityKind::dirichlet, .cv = cv}; }
PopularitySpec zipf(double exponent) {
  return {.kind = PopularityKind::zipf, .exponent = exponent};
}

// Sampled routing over nodes of eight ranks, with the model's own node limit.
RoutingProblem problem_of(const MoeSpec& moe,
                          std::int64_t ep,
                          const PopularitySpec& popularity = {}) {
  RoutingProblem problem;
  problem.moe = moe;
  problem.spec.max_groups = moe.max_groups;
  problem.spec.popularity = popularity;
  problem.ep = ep;
  problem.ranks_per_node = std::min<std::int64_t>(ep, 8);
  return problem;
}
RoutingProblem v3_problem(std::int64_t max_groups = 4, std::int64_t ep = 64) {
  RoutingProblem problem = problem_of(*shipped_model("deepseek-v3").moe, ep);
  problem.spec.max_groups = max_groups;
  return problem;
}

// A small group with everything that matters: 16 experts in four groups of which a token visits
// two, two experts on each of eight ranks, two ranks in each of four nodes.
RoutingProblem small_problem(const PopularitySpec& popularity = {}) {
  RoutingProblem problem = problem_of(moe_of(16, 4, 4, 2), 8, popularity);
  problem.ranks_per_node = 2;
  problem.seed = 17;
  return problem;
}

// Tokens of every rank of the group, routed one by one by logits of the given offsets.
class TokenByToken {
 public:
  TokenByToken(const RoutingProblem& problem, std::vector<float> offsets = {})
      : gate_(gate_spec(problem.moe, problem.spec.max_groups)),
        logits_(problem.moe.num_experts, problem.spec.correlation, std::move(offsets)),
        random_(23) {}
  std::vector<RoutedTokens> route(std::int64_t num_tokens, std::int64_t num_sources) {
    std::vector<RoutedTokens> tokens(static_cast<std::size_t>(num_sources));
    std::vector<float> values(static_cast<std::size_t>(num_tokens * gate_.spec().num_experts));
    for (RoutedTokens& own : tokens) {
      logits_.draw(random_, num_tokens, values.data());
      gate_.route(values.data(), num_tokens, {}, own);
    }
    return tokens;
  }

 private:
  Gate gate_;
  TokenLogits logits_;
  Random random_;
};

// Offsets for the popularity of layer 0, found on a larger sample than the sampler's.
std::vector<float> offsets_of(const RoutingProblem& problem) {
  if (problem.spec.popularity.kind == PopularityKind::uniform) return {};
  const auto wanted =
      relative_load(problem.spec.popularity, problem.moe.num_experts, problem.seed, 0);
  return calibrate_offsets(Gate(gate_spec(problem.moe, problem.spec.max_groups)),
                           wanted,
                           problem.spec.correlation,
                           12000,
                           99)
      .offsets;
}

std::vector<double> rows_of(const std::vector<RankTraffic>& ranks) {
  std::vector<double> rows;
  for (const RankTraffic& r : ranks) rows.push_back(static_cast<double>(r.load.rows));
  return rows;
}
double total(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// Means over trials, and covariances of ranks about these, by how far apart they live: the rank
// itself, the others of its node, the ranks of other nodes.
struct LoadMoments {
  std::vector<double> mean;
  double variance = 0, neighbours = 0, strangers = 0;
};
LoadMoments moments_of(const std::vector<std::vector<double>>& trials, std::size_t per_node) {
  const std::size_t n = trials.front().size();
  const auto count = static_cast<double>(trials.size());
  LoadMoments m;
  m.mean.assign(n, 0);
  for (const auto& rows : trials)
    for (std::size_t i = 0; i < n; ++i) m.mean[i] += rows[i] / count;
  const double pairs = static_cast<double>(n) * count;
  for (const auto& rows : trials)
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        const double product = (rows[i] - m.mean[i]) * (rows[j] - m.mean[j]) / pairs;
        const bool same_node = i / per_node == j / per_node;
        if (i == j)
          m.variance += product;
        else if (same_node)
          m.neighbours += product / static_cast<double>(per_node - 1);
        else
          m.strangers += product / static_cast<double>(n - per_node);
      }
  return m;
}

LoadMoments drawn_moments(const RoutingSampler& sampler, std::int64_t tokens, int trials) {
  std::vector<std::vector<double>> rows;
  for (int i = 0; i < trials; ++i) rows.push_back(rows_of(sampler.sample(tokens, i % 7, 0, i)));
  return moments_of(rows, static_cast<std::size_t>(sampler.problem().ranks_per_node));
}
LoadMoments routed_moments(const RoutingProblem& problem,
                           const Placement& placement,
                           std::int64_t tokens,
                           int trials) {
  TokenByToken router(problem, offsets_of(problem));
  std::vector<std::vector<double>> loads;
  for (int i = 0; i < trials; ++i) {
    const RowCounts counts = count_rows(router.route(tokens, problem.ep), placement);
    std::vector<double> rows(static_cast<std::size_t>(problem.ep), 0);
    for (std::int64_t source = 0; source < problem.ep; ++source)
      for (std::int64_t rank = 0; rank < problem.ep; ++rank)
        rows[static_cast<std::size_t>(rank)] += counts.copies[counts.to_rank(source, rank)];
    loads.push_back(std::move(rows));
  }
  return moments_of(loads, static_cast<std::size_t>(problem.ranks_per_node));
}

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
