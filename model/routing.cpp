#include "model/routing.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/errors.hpp"
#include "model/parallel_for.hpp"

namespace moesim {
namespace {

constexpr std::int64_t kStatisticsTokens = 4096;  // gives nodes per token to about 0.003
// The loads of the sample are the means as they are, so its noise does not matter.
constexpr std::int64_t kCalibrationTokens = 2048;
constexpr std::int64_t kReceiveGranule =
    8;  // received tokens come in multiples of 8 (trace README, section 1)
// Streams of the seed.
constexpr std::uint64_t kTokenStream = 0x6a7e, kCountStream = 0x10ad, kRowStream = 0x50ad,
                        kSequenceStream = 0x5e9;

std::size_t idx(std::int64_t i) { return static_cast<std::size_t>(i); }
std::int64_t round_up(std::int64_t v, std::int64_t to) { return (v + to - 1) / to * to; }
std::int64_t round_near(double v, std::int64_t to) {
  return std::llround(v / static_cast<double>(to)) * to;
}
double sum(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }

// Copies of slot i of an expert with `replicas` when these take turns.
std::int64_t share_of(std::int64_t copies, std::int64_t replicas, std::int64_t i) {
  return copies / replicas + (i < copies % replicas ? 1 : 0);
}

// Pairs of one token's experts that share a group, over all tokens, in both orders.
double pairs_within_groups(const RoutedTokens& tokens, std::int64_t group_size) {
  double pairs = 0;
  for (std::int64_t t = 0; t < tokens.num_tokens; ++t) {
    const std::int32_t* chosen = &tokens.experts[idx(t * tokens.top_k)];
    for (std::int64_t i = 0; i < tokens.top_k; ++i)
      for (std::int64_t j = 0; j < tokens.top_k; ++j)
        if (i != j && chosen[i] / group_size == chosen[j] / group_size) pairs += 1;
  }
  return pairs;
}

// Rows per copy of each unit, from the first source's counts; units alike share one ratio, which
// 4,096 tokens know better.
std::vector<double> rows_per_copy(const std::vector<double>& rows,
                                  const std::vector<double>& copies,
                                  std::int64_t num_units,
                                  bool units_are_alike) {
  const double pooled = sum(rows) / sum(copies);
  std::vector<double> ratio(idx(num_units), pooled);
  if (!units_are_alike)
    for (std::size_t u = 0; u < ratio.size(); ++u)
      if (copies[u] > 0) ratio[u] = rows[u] / copies[u];
  return ratio;
}

// Covariances of two experts' choices by one token, pooled over pairs of one group and of two
// groups.
void set_covariances(const MoeSpec& moe, const RoutedTokens& tokens, RoutingLaw& law) {
  const auto e = static_cast<double>(moe.num_experts), n = static_cast<double>(tokens.num_tokens);
  const std::int64_t group_size = moe.num_experts / moe.num_groups;
  const auto m = static_cast<double>(group_size);
  // Means of p_i p_j over experts that are the same, and over pairs of one group.
  double squares = 0, products = 0;
  for (std::int64_t g = 0; g < moe.num_groups; ++g) {
    double of_group = 0, own = 0;
    for (std::int64_t i = g * group_size; i < (g + 1) * group_size; ++i) {
      of_group += law.expert_mean[idx(i)];
      own += law.expert_mean[idx(i)] * law.expert_mean[idx(i)];
    }
    squares += own / e;
    products += (of_group * of_group - own) / (e * std::max(1.0, m - 1));
  }
  if (group_size > 1)
    law.within_group_covariance =
        pairs_within_groups(tokens, group_size) / n / (e * (m - 1)) - products;
  // The rest follows from sum(indicators) = k, whose variance is zero.
  const double variance = static_cast<double>(moe.top_k) / e - squares;
  if (moe.num_groups > 1)
    law.between_group_covariance = -(variance + (m - 1) * law.within_group_covariance) / (e - m);
}

}  // namespace

RoutingSampler::RoutingSampler(const RoutingProblem& problem, int num_threads) : problem_(problem) {
  // Layers differ by the popularity of their experts only.
  const bool alike = problem.spec.popularity.kind == PopularityKind::uniform;
  std::vector<RoutingLaw> laws(alike ? 1 : idx(problem.num_layers));
  parallel_for(laws.size(), num_threads, [&](std::size_t i) {
    laws[i] = make_law(static_cast<std::int64_t>(i));
  });
  laws_ = std::make_shared<const std::vector<RoutingLaw>>(std::move(laws));
}

RoutingSampler::RoutingSampler(const RoutingProblem& problem, const RoutingSampler& drawn)
    : problem_(problem), laws_(drawn.laws_) {
  ENSURE(drawn.has_laws_of(problem));
}

bool RoutingSampler::has_laws_of(const RoutingProblem& problem) const {
  RoutingProblem own = problem_;
  own.spec.sequence_cv = problem.spec.sequence_cv;
  own.ranks_per_sequence = problem.ranks_per_sequence;
  return own == problem;
}

const RoutingLaw& RoutingSampler::law(std::int64_t layer) const {
  return laws_->size() == 1 ? laws_->front() : laws_->at(idx(layer));
}

double RoutingSampler::nodes_per_token() const {
  double total = 0;
  for (const RoutingLaw& law : *laws_) total += law.nodes_per_token;
  return total / static_cast<double>(laws_->size());
}
double RoutingSampler::ranks_per_token() const {
  double total = 0;
  for (const RoutingLaw& law : *laws_) total += law.ranks_per_token;
  return total / static_cast<double>(laws_->size());
}

double RoutingSampler::worst_residual() const {
  double worst = 0;
  for (const RoutingLaw& law : *laws_) worst = std::max(worst, law.residual);
  return worst;
}

RoutingLaw RoutingSampler::make_law(std::int64_t layer) const {
  const MoeSpec& moe = problem_.moe;
  const RoutingSpec& spec = problem_.spec;
  const bool uniform = spec.popularity.kind == PopularityKind::uniform;
  const auto e = static_cast<double>(moe.num_experts), k = static_cast<double>(moe.top_k);
  const std::vector<double> wanted =
      relative_load(spec.popularity, moe.num_experts, problem_.seed, layer);
  RoutingLaw law;
  law.placement = place_experts(
      problem_.placement,
      {moe.num_experts, moe.num_groups, problem_.ep, problem_.ranks_per_node, wanted});
  law.slots = slots_of_experts(law.placement);

  const Gate gate(gate_spec(moe, spec.max_groups));
  std::vector<float> offsets;
  law.expert_mean.assign(idx(moe.num_experts), k / e);
  if (!uniform) {
    Calibration found = calibrate_offsets(gate,
                                          wanted,
                                          spec.correlation,
                                          kCalibrationTokens,
                                          problem_.seed + static_cast<std::uint64_t>(layer));
    offsets = std::move(found.offsets);
    law.residual = found.residual;
    for (std::size_t i = 0; i < law.expert_mean.size(); ++i)
      law.expert_mean[i] *= found.realised[i];
  }
  std::vector<RoutedTokens> tokens(1);
  std::vector<float> logits(idx(kStatisticsTokens * moe.num_experts));
  Random random(problem_.seed, kTokenStream, layer);
  TokenLogits(moe.num_experts, spec.correlation, offsets)
      .draw(random, kStatisticsTokens, logits.data());
  gate.route(logits.data(), kStatisticsTokens, {}, tokens.front());

  // A source's rank does not matter to its tokens, so one source stands for all.
  const RowCounts counts = count_rows(tokens, law.placement);
  const auto n = static_cast<double>(kStatisticsTokens);
  law.nodes_per_token = sum(counts.rows_to_node) / n;
  law.ranks_per_token = sum(counts.rows_to_rank) / n;
  std::vector<double> node_copies(idx(law.placement.num_nodes()), 0);
  for (std::int64_t r = 0; r < problem_.ep; ++r)
    node_copies[idx(law.placement.node_of_rank(r))] += counts.copies[idx(r)];
  const bool alike = uniform && problem_.placement.redundant_experts == 0 &&
                     problem_.placement.policy != PlacementPolicy::table;
  law.rank_rows_per_copy =
      rows_per_copy(counts.rows_to_rank, counts.copies, law.placement.num_ranks, alike);
  law.node_rows_per_copy =
      rows_per_copy(counts.rows_to_node, node_copies, law.placement.num_nodes(), alike);

  set_covariances(moe, tokens.front(), law);
  return law;
}

// Counts X_e = n p_e + sqrt(n p_e (1 - p_e)) xi_e + n p_e cv (s_e - mean of s), with s of unit
// variance and independent, and xi of unit variance:
//   xi_e = alpha (z_e - mean of z in its group) + beta (u_group - mean of u)
// has the pooled covariances within and between groups and sums to zero.
std::vector<std::int64_t> RoutingSampler::draw_expert_counts(const RoutingLaw& law,
                                                             const std::vector<double>& mean,
                                                             double spread_cv,
                                                             std::int64_t tokens,
                                                             Random& random) const {
  const MoeSpec& moe = problem_.moe;
  const auto num_experts = idx(moe.num_experts), num_groups = idx(moe.num_groups);
  const std::size_t group_size = num_experts / num_groups;
  const auto n = static_cast<double>(tokens);
  double variance = 0;
  for (const double p : mean) variance += p * (1 - p) / static_cast<double>(num_experts);
  const bool chosen_by_all = variance <= 0;  // as many choices as experts: nothing varies
  const double alpha =
      chosen_by_all ? 0
                    : std::sqrt(std::max(0.0, variance - law.within_group_covariance) / variance);
  const double beta =
      chosen_by_all
          ? 0
          : std::sqrt(std::max(
                0.0, -law.between_group_covariance * static_cast<double>(num_groups) / variance));

  std::vector<double> z(num_experts), u(num_groups);
  for (double& v : z) v = random.normal();
  for (double& v : u) v = random.normal();
  const double u_mean = sum(u) / static_cast<double>(num_groups);
  std::vector<double> own;
  double own_mean = 0;  // weighted, so that the copies it moves sum to zero
  if (spread_cv > 0)
    for (std::size_t e = 0; e < num_experts; ++e) {
      own.push_back(random.normal());
      own_mean += own[e] * mean[e] / static_cast<double>(moe.top_k);
    }
  std::vector<std::int64_t> counts(num_experts);
  std::int64_t total = 0;
  for (std::size_t g = 0; g < num_groups; ++g) {
    double z_mean = 0;
    for (std::size_t i = 0; i < group_size; ++i)
      z_mean += z[g * group_size + i] / static_cast<double>(group_size);
    for (std::size_t i = 0; i < group_size; ++i) {
      const std::size_t e = g * group_size + i;
      const double p = mean[e];
      const double xi = alpha * (z[e] - z_mean) + beta * (u[g] - u_mean);
      double x = n * p + std::sqrt(n * p * (1 - p)) * xi;
      if (spread_cv > 0) x += n * p * spread_cv * (own[e] - own_mean);
      counts[e] = std::clamp<std::int64_t>(std::llround(x), 0, tokens);
      total += counts[e];
    }
  }
  // Rounding, clipping and unequal variances leave a few tokens over: one at a time, in expert
  // order.
  std::int64_t left = tokens * moe.top_k - total;
  for (std::size_t e = 0; left != 0; e = (e + 1) % num_experts) {
    const std::int64_t step = left > 0 ? 1 : -1;
    if (counts[e] + step < 0 || counts[e] + step > tokens) continue;
    counts[e] += step;
    left -= step;
  }
  return counts;
}

// expert_counts: of all ranks' tokens together.
std::vector<RankTraffic> RoutingSampler::traffic_of(const RoutingLaw& law,
                                                    const std::vector<std::int64_t>& expert_counts,
                                                    std::int64_t all_tokens) const {
  const Placement& placement = law.placement;
  std::vector<RankTraffic> ranks(idx(placement.num_ranks));
  std::vector<double> node_rows(idx(placement.num_nodes()), 0), node_received = node_rows;
  for (std::int64_t e = 0; e < placement.num_experts; ++e) {
    const auto slots = law.slots.of(e);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const std::int64_t copies = share_of(expert_counts[idx(e)],
                                           static_cast<std::int64_t>(slots.size()),
                                           static_cast<std::int64_t>(i));
      RankLoad& load = ranks[idx(placement.rank_of_slot(slots[i]))].load;
      load.rows += copies;
      load.padded_rows += round_up(copies, kRowTile);
    }
  }
  for (std::int64_t r = 0; r < placement.num_ranks; ++r) {
    RankLoad& load = ranks[idx(r)].load;
    // Where nearly all tokens go, the mean ratio gives more rows than there are tokens.
    load.tokens_received =
        std::min(round_up(all_tokens, kReceiveGranule),
                 round_near(static_cast<double>(load.rows) * law.rank_rows_per_copy[idx(r)],
                            kReceiveGranule));
    const std::size_t node = idx(placement.node_of_rank(r));
    node_rows[node] =
        std::min(static_cast<double>(all_tokens),
                 node_rows[node] + static_cast<double>(load.rows) * law.node_rows_per_copy[node]);
    node_received[node] += static_cast<double>(load.tokens_received);
  }
  // Sources are alike: each node sends an equal part of what another receives, through the NIC of
  // equal local index.
  const auto num_nodes = static_cast<double>(placement.num_nodes());
  const auto per_node =
      static_cast<double>(std::min(placement.ranks_per_node, placement.num_ranks));
  const double all_rows = sum(node_rows);
  for (std::int64_t r = 0; r < placement.num_ranks; ++r) {
    const double own = node_rows[idx(placement.node_of_rank(r))];
    ranks[idx(r)].nic_rows_received = own * (num_nodes - 1) / num_nodes / per_node;
    ranks[idx(r)].nic_rows_sent = (all_rows - own) / num_nodes / per_node;
    ranks[idx(r)].node_mean_received = node_received[idx(placement.node_of_rank(r))] / per_node;
  }
  return ranks;
}

std::vector<RankTraffic> RoutingSampler::sample(std::int64_t tokens,
                                                std::int64_t group,
                                                std::int64_t layer,
                                                std::int64_t microbatch) const {
  if (problem_.spec.kind == RoutingKind::balanced)
    return std::vector<RankTraffic>(idx(problem_.ep), balanced(tokens));
  Random random(problem_.seed, kCountStream, group, layer, microbatch);
  const RoutingLaw& of_layer = law(layer);
  const double sequences = std::max(
      1.0, static_cast<double>(problem_.ep) / static_cast<double>(problem_.ranks_per_sequence));
  return traffic_of(of_layer,
                    draw_expert_counts(of_layer,
                                       of_layer.expert_mean,
                                       problem_.spec.sequence_cv / std::sqrt(sequences),
                                       tokens * problem_.ep,
                                       random),
                    tokens * problem_.ep);
}

RankTraffic RoutingSampler::balanced(std::int64_t tokens) const {
  const RoutingLaw& any = laws_->front();
  const std::int64_t slots = any.placement.slots_per_rank;
  const std::int64_t rows = tokens * problem_.moe.top_k;  // tokens x ep x top_k over ep ranks
  RankTraffic t;
  t.load.rows = rows;
  for (std::int64_t i = 0; i < slots; ++i)
    t.load.padded_rows += round_up(share_of(rows, slots, i), kRowTile);
  t.load.tokens_received =
      round_near(static_cast<double>(tokens) * ranks_per_token(), kReceiveGranule);
  const auto nodes = static_cast<double>(num_nodes());
  t.nic_rows_received = static_cast<double>(tokens) * nodes_per_token() * (1 - 1 / nodes);
  t.nic_rows_sent = t.nic_rows_received;
  t.node_mean_received = static_cast<double>(t.load.tokens_received);
  return t;
}

// Of one sequence with a popularity of its own: the layer's means times a draw, scaled so that a
// token still makes top_k choices and no expert is more than one of them.
std::vector<double> RoutingSampler::mean_of_sequence(const RoutingLaw& law,
                                                     std::uint64_t seed) const {
  std::vector<double> mean = law.expert_mean;
  if (problem_.spec.sequence_cv == 0) return mean;
  PopularitySpec own;
  own.kind = PopularityKind::dirichlet;
  own.cv = problem_.spec.sequence_cv;
  const auto weight = relative_load(own, problem_.moe.num_experts, seed, 0);
  for (std::size_t e = 0; e < mean.size(); ++e) mean[e] *= weight[e];
  // Each pass fixes at least one more expert at 1, or ends.
  for (bool scaled = false; !scaled;) {
    double full = 0, open = 0;
    for (const double p : mean) (p >= 1 ? full : open) += p;
    const double factor = open > 0 ? (static_cast<double>(problem_.moe.top_k) - full) / open : 1;
    scaled = true;
    for (double& p : mean) {
      if (p >= 1) continue;
      p *= factor;
      if (p > 1) scaled = false;
      p = std::min(p, 1.0);
    }
  }
  return mean;
}

std::vector<double> RoutingSampler::copies_of_source(std::int64_t tokens,
                                                     std::int64_t group,
                                                     std::int64_t layer,
                                                     std::int64_t microbatch,
                                                     std::int64_t source) const {
  const RoutingLaw& of_layer = law(layer);
  std::vector<double> copies(of_layer.expert_mean.size());
  if (problem_.spec.kind == RoutingKind::balanced) {
    for (std::size_t e = 0; e < copies.size(); ++e)
      copies[e] = static_cast<double>(tokens) * of_layer.expert_mean[e];
    return copies;
  }
  const std::int64_t sequence = source / problem_.ranks_per_sequence;
  Random of_sequence(problem_.seed, kSequenceStream, group, layer, microbatch, sequence);
  Random random(problem_.seed, kRowStream, group, layer, microbatch, source);
  const auto counts = draw_expert_counts(
      of_layer, mean_of_sequence(of_layer, of_sequence.bits()), 0, tokens, random);
  std::copy(counts.begin(), counts.end(), copies.begin());
  return copies;
}

RowCounts RoutingSampler::sample_rows(std::int64_t tokens,
                                      std::int64_t group,
                                      std::int64_t layer,
                                      std::int64_t microbatch) const {
  const RoutingLaw& of_layer = law(layer);
  const Placement& placement = of_layer.placement;
  RowCounts rows(placement.num_ranks, placement.ranks_per_node);
  for (std::int64_t source = 0; source < placement.num_ranks; ++source) {
    const std::vector<double> counts = copies_of_source(tokens, group, layer, microbatch, source);
    for (std::int64_t e = 0; e < placement.num_experts; ++e) {
      const auto slots = of_layer.slots.of(e);
      for (const std::int32_t slot : slots)
        rows.copies[rows.to_rank(source, placement.rank_of_slot(slot))] +=
            counts[idx(e)] / static_cast<double>(slots.size());
    }
    for (std::int64_t r = 0; r < placement.num_ranks; ++r) {
      const double copies = rows.copies[rows.to_rank(source, r)];
      const std::int64_t node = placement.node_of_rank(r);
      // Where nearly all tokens go, the mean ratio gives more rows than there are tokens.
      const auto most = static_cast<double>(tokens);
      double& node_rows = rows.rows_to_node[rows.to_node(source, node)];
      node_rows = std::min(most, node_rows + copies * of_layer.node_rows_per_copy[idx(node)]);
      rows.rows_to_rank[rows.to_rank(source, r)] =
          std::min(most, copies * of_layer.rank_rows_per_copy[idx(r)]);
    }
  }
  return rows;
}

}  // namespace moesim
