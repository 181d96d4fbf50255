// Routing problems of every size, their tokens routed one by one, and the moments of their loads.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "model/routing.hpp"
#include "tests/shipped_data.hpp"
#include "tests/token_by_token.hpp"

namespace moesim {

inline MoeSpec moe_of(std::int64_t experts,
                      std::int64_t top_k,
                      std::int64_t groups,
                      std::int64_t max) {
  MoeSpec moe;
  moe.num_experts = experts;
  moe.top_k = top_k;
  moe.num_groups = groups;
  moe.max_groups = max;
  moe.score = ScoreFunction::sigmoid;
  return moe;
}

inline PopularitySpec dirichlet(double cv) { return {.kind = PopularityKind::dirichlet, .cv = cv}; }
inline PopularitySpec zipf(double exponent) {
  return {.kind = PopularityKind::zipf, .exponent = exponent};
}

// Sampled routing over nodes of eight ranks, with the model's own node limit.
inline RoutingProblem problem_of(const MoeSpec& moe,
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
inline RoutingProblem v3_problem(std::int64_t max_groups = 4, std::int64_t ep = 64) {
  RoutingProblem problem = problem_of(*shipped_model("deepseek-v3").moe, ep);
  problem.spec.max_groups = max_groups;
  return problem;
}

// A small group with everything that matters: 16 experts in four groups of which a token visits
// two, two experts on each of eight ranks, two ranks in each of four nodes.
inline RoutingProblem small_problem(const PopularitySpec& popularity = {}) {
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
    return route_tokens(gate_, logits_, num_tokens, num_sources, random_);
  }

 private:
  Gate gate_;
  TokenLogits logits_;
  Random random_;
};

// Offsets for the popularity of layer 0, found on a larger sample than the sampler's.
inline std::vector<float> offsets_of(const RoutingProblem& problem) {
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

inline std::vector<double> rows_of(const std::vector<RankTraffic>& ranks) {
  std::vector<double> rows;
  for (const RankTraffic& r : ranks) rows.push_back(static_cast<double>(r.load.rows));
  return rows;
}
inline double total(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// Means over trials, and covariances of ranks about these, by how far apart they live: the rank
// itself, the others of its node, the ranks of other nodes.
struct LoadMoments {
  std::vector<double> mean;
  double variance = 0, neighbours = 0, strangers = 0;
};
inline LoadMoments moments_of(const std::vector<std::vector<double>>& trials,
                              std::size_t per_node) {
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

inline LoadMoments drawn_moments(const RoutingSampler& sampler, std::int64_t tokens, int trials) {
  std::vector<std::vector<double>> rows;
  for (int i = 0; i < trials; ++i) rows.push_back(rows_of(sampler.sample(tokens, i % 7, 0, i)));
  return moments_of(rows, static_cast<std::size_t>(sampler.problem().ranks_per_node));
}
inline LoadMoments routed_moments(const RoutingProblem& problem,
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

}  // namespace moesim
