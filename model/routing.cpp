#include "model/routing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/errors.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kStatisticsTokens = 4096;  // gives nodes per token to about 0.003
constexpr std::int64_t kRowTile = 128;  // rows an expert's share is padded to in grouped GEMMs
constexpr std::int64_t kReceiveGranule =
    8;  // received tokens come in multiples of 8 (trace README, section 1)

std::int64_t round_up(std::int64_t v, std::int64_t to) { return (v + to - 1) / to * to; }
std::int64_t round_near(double v, std::int64_t to) {
  return std::llround(v / static_cast<double>(to)) * to;
}

// Distinct values of experts[i] / per_unit; `experts` ascending.
std::int64_t distinct_units(const std::vector<std::int64_t>& experts, std::int64_t per_unit) {
  std::int64_t count = 0, last = -1;
  for (const std::int64_t e : experts)
    if (e / per_unit != last) {
      last = e / per_unit;
      ++count;
    }
  return count;
}

}  // namespace

std::vector<std::int64_t> select_experts(const std::vector<double>& affinity,
                                         std::int64_t top_k,
                                         std::int64_t num_groups,
                                         std::int64_t max_groups,
                                         std::int64_t score_experts) {
  const auto num_experts = static_cast<std::int64_t>(affinity.size());
  const std::int64_t group_size = num_experts / num_groups;
  auto better = [&](std::int64_t a, std::int64_t b) {  // higher affinity first, then lower index
    const double x = affinity[static_cast<std::size_t>(a)],
                 y = affinity[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::vector<std::int64_t> candidates;
  if (max_groups >= num_groups) {
    candidates.resize(static_cast<std::size_t>(num_experts));
    std::iota(candidates.begin(), candidates.end(), 0);
  } else {
    const std::int64_t best =
        score_experts > 0 ? score_experts : std::max<std::int64_t>(1, top_k / max_groups);
    std::vector<std::pair<double, std::int64_t>> groups;
    std::vector<std::int64_t> members(static_cast<std::size_t>(group_size));
    for (std::int64_t g = 0; g < num_groups; ++g) {
      std::iota(members.begin(), members.end(), g * group_size);
      const auto end = members.begin() + std::min(best, group_size);
      std::partial_sort(members.begin(), end, members.end(), better);
      double score = 0;
      for (auto it = members.begin(); it != end; ++it)
        score += affinity[static_cast<std::size_t>(*it)];
      groups.emplace_back(-score, g);
    }
    std::sort(groups.begin(), groups.end());
    for (std::int64_t i = 0; i < max_groups; ++i)
      for (std::int64_t e = 0; e < group_size; ++e)
        candidates.push_back(groups[static_cast<std::size_t>(i)].second * group_size + e);
  }
  std::partial_sort(candidates.begin(), candidates.begin() + top_k, candidates.end(), better);
  candidates.resize(static_cast<std::size_t>(top_k));
  std::sort(candidates.begin(), candidates.end());
  return candidates;
}

RoutingSampler::RoutingSampler(const MoeSpec& moe,
                               const RoutingSpec& spec,
                               const ExpertPlacement& placement,
                               std::uint64_t seed)
    : moe_(moe), spec_(spec), placement_(placement), seed_(seed) {
  const std::int64_t experts_per_rank = moe.num_experts / placement.ep;
  const std::int64_t group_size = moe.num_experts / moe.num_groups;
  Random random(seed, 0x6a7e);
  std::vector<double> affinity(static_cast<std::size_t>(moe.num_experts));
  double nodes = 0, ranks = 0, pairs_within = 0;
  for (std::int64_t t = 0; t < kStatisticsTokens; ++t) {
    for (double& a : affinity) a = random.normal();
    const auto chosen = select_experts(
        affinity, moe.top_k, moe.num_groups, spec.max_groups, moe.group_scored_by_best ? 1 : 0);
    nodes +=
        static_cast<double>(distinct_units(chosen, experts_per_rank * placement.ranks_per_node));
    ranks += static_cast<double>(distinct_units(chosen, experts_per_rank));
    for (std::size_t i = 0; i < chosen.size(); ++i)
      for (std::size_t j = 0; j < chosen.size(); ++j)
        if (i != j && chosen[i] / group_size == chosen[j] / group_size) pairs_within += 1;
  }
  const auto n = static_cast<double>(kStatisticsTokens), e = static_cast<double>(moe.num_experts),
             k = static_cast<double>(moe.top_k);
  const auto m = static_cast<double>(group_size);
  statistics_.nodes_per_token = nodes / n;
  statistics_.ranks_per_token = ranks / n;
  const double p = k / e;
  if (m > 1) statistics_.within_group_covariance = pairs_within / n / (e * (m - 1)) - p * p;
  // The rest follows from sum(indicators) = k, whose variance is zero.
  if (moe.num_groups > 1)
    statistics_.between_group_covariance =
        -(p * (1 - p) + (m - 1) * statistics_.within_group_covariance) / (e - m);
}

std::vector<std::int64_t> RoutingSampler::sample_expert_counts(std::int64_t tokens,
                                                               std::int64_t group,
                                                               std::int64_t layer,
                                                               std::int64_t microbatch) const {
  const auto num_experts = static_cast<std::size_t>(moe_.num_experts);
  const auto num_groups = static_cast<std::size_t>(moe_.num_groups);
  const std::size_t group_size = num_experts / num_groups;
  const double n = static_cast<double>(tokens * placement_.ep),
               p = static_cast<double>(moe_.top_k) / static_cast<double>(moe_.num_experts);
  // X_e - np = sqrt(n) [alpha (z_e - mean of its group) + beta (u_g - mean of all)]: this has the
  // wanted variance and both covariances, and sums to zero.
  const double variance = p * (1 - p);
  const double alpha = std::sqrt(n * std::max(0.0, variance - statistics_.within_group_covariance));
  const double beta = std::sqrt(
      n * std::max(0.0, -statistics_.between_group_covariance * static_cast<double>(num_groups)));

  std::vector<double> weight(num_experts, 1.0);
  if (spec_.popularity_cv >
      0) {  // popularity belongs to the expert: the same for every group and microbatch
    Random popularity(seed_, 0x909, layer);
    double sum = 0;
    for (double& w : weight)
      sum += w = std::max(0.05, 1 + spec_.popularity_cv * popularity.normal());
    for (double& w : weight) w *= static_cast<double>(num_experts) / sum;
  }
  Random random(seed_, 0x10ad, group, layer, microbatch);
  std::vector<double> z(num_experts), u(num_groups);
  for (double& v : z) v = random.normal();
  for (double& v : u) v = random.normal();
  const double u_mean = std::accumulate(u.begin(), u.end(), 0.0) / static_cast<double>(num_groups);
  std::vector<std::int64_t> counts(num_experts);
  std::int64_t total = 0;
  for (std::size_t g = 0; g < num_groups; ++g) {
    double z_mean = 0;
    for (std::size_t i = 0; i < group_size; ++i)
      z_mean += z[g * group_size + i] / static_cast<double>(group_size);
    for (std::size_t i = 0; i < group_size; ++i) {
      const std::size_t e = g * group_size + i;
      const double x = n * p * weight[e] + alpha * (z[e] - z_mean) + beta * (u[g] - u_mean);
      counts[e] = std::clamp<std::int64_t>(std::llround(x), 0, tokens * placement_.ep);
      total += counts[e];
    }
  }
  // Rounding (and clipping) leaves a few tokens over: give or take one at a time, in expert order.
  std::int64_t left = tokens * placement_.ep * moe_.top_k - total;
  for (std::size_t e = 0; left != 0; e = (e + 1) % num_experts) {
    const std::int64_t step = left > 0 ? 1 : -1;
    if (counts[e] + step < 0) continue;
    counts[e] += step;
    left -= step;
  }
  return counts;
}

RankTraffic RoutingSampler::rank_traffic(const std::int64_t* counts,
                                         std::int64_t tokens,
                                         double node_share) const {
  RankTraffic t;
  const std::int64_t experts_per_rank = moe_.num_experts / placement_.ep;
  for (std::int64_t e = 0; e < experts_per_rank; ++e) {
    t.load.rows += counts[e];
    t.load.padded_rows += round_up(counts[e], kRowTile);
  }
  t.load.tokens_received =
      round_near(static_cast<double>(t.load.rows) * statistics_.ranks_per_token /
                     static_cast<double>(moe_.top_k),
                 kReceiveGranule);
  t.nic_rows_received =
      static_cast<double>(tokens) * statistics_.remote_nodes_per_token(placement_) * node_share;
  return t;
}

std::vector<RankTraffic> RoutingSampler::sample(std::int64_t tokens,
                                                std::int64_t group,
                                                std::int64_t layer,
                                                std::int64_t microbatch) const {
  if (spec_.kind == RoutingKind::balanced)
    return std::vector<RankTraffic>(static_cast<std::size_t>(placement_.ep), balanced(tokens));
  const auto counts = sample_expert_counts(tokens, group, layer, microbatch);
  const std::int64_t experts_per_rank = moe_.num_experts / placement_.ep;
  const std::int64_t per_node =
      std::min(placement_.ranks_per_node, placement_.ep) * experts_per_rank;
  const double mean_node_rows = static_cast<double>(tokens * placement_.ep * moe_.top_k) /
                                static_cast<double>(placement_.num_nodes());
  std::vector<RankTraffic> ranks;
  ranks.reserve(static_cast<std::size_t>(placement_.ep));
  for (std::int64_t first = 0; first < moe_.num_experts; first += per_node) {
    std::int64_t node_rows = 0;
    const std::int64_t last = std::min(first + per_node, moe_.num_experts);
    for (std::int64_t e = first; e < last; ++e) node_rows += counts[static_cast<std::size_t>(e)];
    const double share = static_cast<double>(node_rows) / mean_node_rows;
    for (std::int64_t e = first; e < last; e += experts_per_rank)
      ranks.push_back(rank_traffic(&counts[static_cast<std::size_t>(e)], tokens, share));
  }
  return ranks;
}

RankTraffic RoutingSampler::balanced(std::int64_t tokens) const {
  const std::int64_t experts_per_rank = moe_.num_experts / placement_.ep;
  const std::int64_t rows = tokens * moe_.top_k;  // of one rank: tokens x ep x top_k over ep ranks
  std::vector<std::int64_t> counts(static_cast<std::size_t>(experts_per_rank),
                                   rows / experts_per_rank);
  for (std::int64_t e = 0; e < rows % experts_per_rank; ++e) ++counts[static_cast<std::size_t>(e)];
  return rank_traffic(counts.data(), tokens, 1);
}

}  // namespace moesim
