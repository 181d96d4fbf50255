#include "reports/formulas_routing.hpp"

#include <algorithm>
#include <cmath>

#include "model/block_cost.hpp"
#include "model/collective/collective.hpp"
#include "model/json_message.hpp"
#include "model/placement/placement.hpp"
#include "model/popularity.hpp"
#include "model/random.hpp"
#include "model/routing.hpp"
#include "sim/routing_study.hpp"

namespace moesim {
namespace {

constexpr std::uint64_t kSeed = 1, kCountStream = 0xf16;
constexpr double kMostTokens = 1e9, kMostLayers = 1e5, kMostExperts = 1e5;

double number_in(const FormulaInputs& in, const std::string& name, double low, double high) {
  const double value = in.number(name);
  if (!(value >= low && value <= high))
    throw InputError(in.place(),
                     "input \"" + name + "\": expected " + number_text(low) + " to " +
                         number_text(high) + ", found " + number_text(value));
  return value;
}

std::int64_t whole_in(const FormulaInputs& in, const std::string& name, double low, double high) {
  number_in(in, name, low, high);
  return in.whole(name);
}

// Rows of the fullest rank over the mean when every one of `tokens` tokens chooses an expert with
// its own chance: counts follow the normal law of the binomial, each on its own.
double max_over_mean_rows(const Placement& placement,
                          const std::vector<double>& load,
                          std::int64_t top_k,
                          double tokens,
                          Random& random) {
  std::vector<double> counts;
  for (const double relative : load) {
    // A law may ask for more than the hottest expert can get: every token, once.
    const double chance = std::min(
        1.0, relative * static_cast<double>(top_k) / static_cast<double>(placement.num_experts));
    const double spread = std::sqrt(tokens * chance * (1 - chance)) * random.normal();
    counts.push_back(std::clamp(std::round(tokens * chance + spread), 0.0, tokens));
  }
  return spread_of(expected_loads(counts, placement).rank).max_over_mean;
}

// The forward layer of a half batch on a rank with `max_over_mean` times the mean rows.
Seconds prefill_layer_time(const FormulaInputs& in,
                           const Scenario& scenario,
                           double max_over_mean,
                           std::int64_t slots_per_rank) {
  const ModelSpec& model = scenario.model;
  const ClusterSpec& cluster = scenario.cluster;
  const CommModel& comm = scenario.profile.comm;
  if (!model.moe) throw InputError(in.place(), "the scenario's model has no experts");
  const std::int64_t tokens = whole_in(in, "tokens", 1, 1e6);
  const std::int64_t ep = whole_in(in, "ep", 1, static_cast<double>(cluster.num_gpus()));
  const std::int64_t per_node = std::min(ep, cluster.gpus_per_node);
  const std::int64_t comm_sms =
      whole_in(in, "comm_sms", 1, static_cast<double>(cluster.gpu.num_sms - 1));
  if (model.moe->num_experts % ep != 0 || ep % per_node != 0)
    throw InputError(in.place(), "ep: expected whole nodes and a divisor of the experts");

  RoutingSpec routing;
  routing.kind = RoutingKind::balanced;
  routing.max_groups = model.moe->max_groups;
  RankTraffic rank = RoutingSampler({.moe = *model.moe,
                                     .spec = routing,
                                     .placement = {},
                                     .ep = ep,
                                     .ranks_per_node = per_node,
                                     .seed = scenario.seed})
                         .balanced(tokens);
  const double rows = static_cast<double>(rank.load.rows) * max_over_mean;
  const auto of_slot =
      static_cast<std::int64_t>(std::ceil(rows / static_cast<double>(slots_per_rank)));
  rank.load.rows = std::llround(rows);
  rank.load.padded_rows = slots_per_rank * ((of_slot + kRowTile - 1) / kRowTile * kRowTile);
  const double received = static_cast<double>(rank.load.tokens_received) * max_over_mean;
  rank.load.tokens_received =
      std::min(tokens * ep, static_cast<std::int64_t>(std::round(received)));
  // Rows for a node come through the NICs of all its ranks alike.
  const auto neighbours = static_cast<double>(per_node - 1);
  const double nic_rows = rank.nic_rows_received * (neighbours + max_over_mean) / (neighbours + 1);

  const ChunkShape shape{
      tokens, whole_in(in, "context", 1, 1e7), 1, slots_per_rank, Recipe::fp8_block};
  const LayerOps ops = build_layer_ops(model, LayerKind::moe, shape, rank.load);
  const CostModel cost(scenario.profile, cluster.gpu);
  const SmShare share{cluster.gpu.num_sms - comm_sms, true};
  Tick compute = 0;
  for (const Block block : {Block::attention_f, Block::ffn_f})
    compute += cost_of(ops.blocks[static_cast<std::size_t>(block)], cost, share).duration;

  const LinkRates links = link_rates(cluster, comm);
  const ExpertMessage message = expert_message(model, Recipe::fp8_block);
  const auto fullest = static_cast<double>(rank.load.tokens_received);
  const double node_mean =
      rank.node_mean_received * (neighbours + max_over_mean) / (neighbours + 1);
  const TwoHopTraffic traffic = two_hop_traffic(nic_rows, fullest, node_mean, per_node);
  const Seconds dispatch =
      two_hop_time(links, traffic, message.dispatch, copy_rate(comm.dispatch_per_sm, comm_sms));
  const Seconds combine = two_hop_time(links,
                                       handed_back(traffic, fullest),
                                       message.combine,
                                       copy_rate(comm.combine_per_sm, comm_sms));
  return std::max(to_seconds(compute),
                  comm.layout + dispatch / comm.dispatch_overlap + combine / comm.combine_overlap);
}

}  // namespace

double rank_imbalance(const FormulaInputs& in) {
  const std::int64_t experts = whole_in(in, "experts", 1, kMostExperts);
  const std::int64_t top_k = whole_in(in, "top_k", 1, static_cast<double>(experts));
  const std::int64_t ranks = whole_in(in, "ranks", 1, kMostExperts);
  const std::int64_t slots = whole_in(in, "slots_per_rank", 1, static_cast<double>(experts));
  const std::int64_t layers = whole_in(in, "layers", 1, kMostLayers);
  const double tokens =
      number_in(in, "tokens_per_rank", 1, kMostTokens) * static_cast<double>(ranks);
  // The largest variation of any possible loads: top_k experts get everything.
  const double most_cv = std::sqrt(static_cast<double>(experts) / static_cast<double>(top_k) - 1);
  const PopularitySpec popularity{.kind = PopularityKind::dirichlet,
                                  .cv = number_in(in, "cv", 0, most_cv)};
  PlacementSpec placement;
  if (whole_in(in, "eplb", 0, 1) == 1) placement.policy = PlacementPolicy::eplb_global;
  placement.redundant_experts = ranks * slots - experts;
  PlacementProblem problem{experts, 1, ranks, ranks, {}};
  const std::string refusal = placement_refusal(placement, problem);
  if (!refusal.empty()) throw InputError(in.place(), refusal);

  double total = 0;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    problem.load = relative_load(popularity, experts, kSeed, layer);
    Random random(kSeed, kCountStream, layer);
    total +=
        max_over_mean_rows(place_experts(placement, problem), problem.load, top_k, tokens, random);
  }
  return total / static_cast<double>(layers);
}

double prefill_speedup(const FormulaInputs& in, const Scenario& scenario) {
  const auto layer_time = [&](const std::string& when) {
    return prefill_layer_time(in,
                              scenario,
                              number_in(in, "max_over_mean_" + when, 1, 1e3),
                              whole_in(in, "slots_" + when, 1, 1e3));
  };
  return layer_time("before") / layer_time("after");
}

}  // namespace moesim
