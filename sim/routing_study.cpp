#include "sim/routing_study.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/errors.hpp"
#include "model/parallel_for.hpp"
#include "sim/messages.hpp"
#include "sim/stage_costs.hpp"

namespace moesim {
namespace {

// Expert loads of fresh tokens then miss the wanted ones by a few per cent of chance.
constexpr std::int64_t kCalibrationTokens = 16384;
constexpr std::int64_t kTileTokens = 1024;  // whose logits are in memory together
constexpr std::uint64_t kTokenStream = 0x57d1;

std::size_t idx(std::int64_t i) { return static_cast<std::size_t>(i); }
double sum(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }

std::vector<double> sums_by_node(const std::vector<double>& of_rank, const Placement& placement) {
  std::vector<double> of_node(idx(placement.num_nodes()), 0);
  for (std::int64_t r = 0; r < placement.num_ranks; ++r)
    of_node[idx(placement.node_of_rank(r))] += of_rank[idx(r)];
  return of_node;
}

// Tokens by the number of distinct nodes they visit. Replicas take turns as in count_rows, which
// knows only sums.
std::vector<double> tokens_by_nodes(const std::vector<RoutedTokens>& tokens,
                                    const Placement& placement) {
  const ExpertSlots slots = slots_of_experts(placement);
  std::vector<double> tokens_of(idx(placement.num_nodes()) + 1, 0);
  std::vector<std::int64_t> last_visit(idx(placement.num_nodes()), -1);
  std::int64_t visit = 0;
  for (std::size_t source = 0; source < tokens.size(); ++source) {
    const RoutedTokens& own = tokens[source];
    for (std::int64_t t = 0; t < own.num_tokens; ++t, ++visit) {
      std::size_t nodes = 0;
      for (std::int64_t k = 0; k < own.top_k; ++k) {
        const auto replicas = slots.of(own.experts[idx(t * own.top_k + k)]);
        const std::int64_t rank =
            placement.rank_of_slot(replicas[(idx(t) + source) % replicas.size()]);
        std::int64_t& last = last_visit[idx(placement.node_of_rank(rank))];
        if (last != visit) ++nodes;
        last = visit;
      }
      ++tokens_of[nodes];
    }
  }
  return tokens_of;
}

struct RoutedGroup {
  std::vector<RoutedTokens> tokens;  // [rank]
  std::vector<float> offsets;
  double residual = 0;
};

RoutedGroup route_group(const RoutingProblem& problem,
                        const std::vector<double>& wanted,
                        const RoutingStudyOptions& options) {
  const std::int64_t num_experts = problem.moe.num_experts;
  const CorrelationSpec& correlation = problem.spec.correlation;
  const Gate gate(gate_spec(problem.moe, problem.spec.max_groups));
  RoutedGroup group;
  group.offsets.assign(idx(num_experts), 0);
  if (problem.spec.popularity.kind != PopularityKind::uniform) {
    Calibration found = calibrate_offsets(gate,
                                          wanted,
                                          correlation,
                                          kCalibrationTokens,
                                          problem.seed + static_cast<std::uint64_t>(options.layer));
    group.offsets = std::move(found.offsets);
    group.residual = found.residual;
  }
  const TokenLogits sampler(num_experts, correlation, group.offsets);
  group.tokens.resize(idx(problem.ep));
  parallel_for(group.tokens.size(), options.num_threads, [&](std::size_t rank) {
    Random random(problem.seed, kTokenStream, options.layer, rank);
    std::vector<float> logits(idx(kTileTokens * num_experts));
    RoutedTokens tile, &own = group.tokens[rank];
    own.num_tokens = options.tokens_per_rank;
    own.top_k = problem.moe.top_k;
    own.experts.reserve(idx(own.num_tokens * own.top_k));
    for (std::int64_t first = 0; first < own.num_tokens; first += kTileTokens) {
      const std::int64_t tokens = std::min(kTileTokens, own.num_tokens - first);
      sampler.draw(random, tokens, logits.data());
      gate.route(logits.data(), tokens, {}, tile);
      own.experts.insert(own.experts.end(), tile.experts.begin(), tile.experts.end());
    }
  });
  return group;
}

ExchangeTime time_of(const Network& network,
                     const std::vector<Message>& messages,
                     Bytes row,
                     Bandwidth copy) {
  return {row,
          busiest_link_time(network, messages, copy),
          to_seconds(simulate_messages(network, messages, {copy, {}}).last)};
}

// The placement of a layer with these loads.
Placement placed(const RoutingProblem& problem, const std::vector<double>& load) {
  PlacementProblem with_load = placement_problem(problem);
  with_load.load = load;
  return place_experts(problem.placement, with_load);
}

std::vector<double> expert_counts(const std::vector<RoutedTokens>& tokens,
                                  std::int64_t num_experts) {
  std::vector<double> counts(idx(num_experts), 0);
  for (const RoutedTokens& own : tokens)
    for (const std::int32_t e : own.experts) counts[idx(e)] += 1;
  return counts;
}

}  // namespace

LoadSpread spread_of(const std::vector<double>& loads) {
  const auto n = static_cast<double>(loads.size());
  const double mean = sum(loads) / n;
  ENSURE(mean > 0);
  const auto [least, most] = std::minmax_element(loads.begin(), loads.end());
  double squares = 0;
  for (const double load : loads) squares += (load - mean) * (load - mean);
  return {mean, *most / mean, *least / mean, std::sqrt(squares / n) / mean};
}

UnitLoads expected_loads(const std::vector<double>& expert_load, const Placement& placement) {
  UnitLoads loads{expert_load, std::vector<double>(idx(placement.num_ranks), 0), {}};
  const ExpertSlots slots = slots_of_experts(placement);
  for (std::int64_t e = 0; e < placement.num_experts; ++e) {
    const auto replicas = slots.of(e);
    for (const std::int32_t slot : replicas)
      loads.rank[idx(placement.rank_of_slot(slot))] +=
          expert_load[idx(e)] / static_cast<double>(replicas.size());
  }
  loads.node = sums_by_node(loads.rank, placement);
  return loads;
}

GroupStudy study_tokens(const std::vector<RoutedTokens>& tokens, const Placement& placement) {
  GroupStudy study{{}, {}, count_rows(tokens, placement)};
  const RowCounts& rows = study.rows;
  study.loads.expert = expert_counts(tokens, placement.num_experts);
  study.loads.rank.assign(idx(rows.num_ranks), 0);
  for (std::int64_t source = 0; source < rows.num_ranks; ++source)
    for (std::int64_t r = 0; r < rows.num_ranks; ++r)
      study.loads.rank[idx(r)] += rows.copies[rows.to_rank(source, r)];
  study.loads.node = sums_by_node(study.loads.rank, placement);

  TokenVisits& visits = study.visits;
  visits.share_by_nodes = tokens_by_nodes(tokens, placement);
  double num_tokens = 0, node_visits = 0;
  for (std::size_t n = 0; n < visits.share_by_nodes.size(); ++n) {
    num_tokens += visits.share_by_nodes[n];
    node_visits += static_cast<double>(n) * visits.share_by_nodes[n];
  }
  ENSURE(num_tokens > 0 && node_visits == sum(rows.rows_to_node));
  for (double& share : visits.share_by_nodes) share /= num_tokens;
  visits.copies_per_token = sum(rows.copies) / num_tokens;
  visits.ranks_per_token = sum(rows.rows_to_rank) / num_tokens;
  visits.nodes_per_token = node_visits / num_tokens;
  return study;
}

std::vector<double> rows_between_nodes(const RowCounts& rows) {
  const std::int64_t num_nodes = rows.num_nodes();
  std::vector<double> between(idx(num_nodes * num_nodes), 0);
  for (std::int64_t source = 0; source < rows.num_ranks; ++source)
    for (std::int64_t node = 0; node < num_nodes; ++node)
      between[idx(source / rows.ranks_per_node * num_nodes + node)] +=
          rows.rows_to_node[rows.to_node(source, node)];
  return between;
}

std::array<ExchangeStudy, 3> study_exchange(const RowCounts& rows,
                                       const ExchangeSetting& setting,
                                       int num_threads) {
  std::array<ExchangeStudy, 3> studies;
  constexpr std::array kAlgorithms = {
      ExpertAlgorithm::flat, ExpertAlgorithm::two_hop, ExpertAlgorithm::low_latency};
  std::array<ExpertTraffic, 3> traffic;
  for (std::size_t a = 0; a < kAlgorithms.size(); ++a) {
    traffic[a] = expert_traffic(rows, kAlgorithms[a]);
    studies[a].algorithm = kAlgorithms[a];
    studies[a].network_rows = traffic[a].wire_rows_network;
    studies[a].nvlink_rows = traffic[a].wire_rows_nvlink;
    studies[a].logical_rows = traffic[a].logical_rows;
  }
  parallel_for(2 * studies.size(), num_threads, [&](std::size_t i) {
    ExchangeStudy& study = studies[i / 2];
    const bool combine = i % 2 == 1;
    const Bytes row = combine ? setting.row.combine : setting.row.dispatch;
    const auto messages =
        expert_messages(combine ? mirrored(traffic[i / 2]) : traffic[i / 2], 0, row);
    (combine ? study.combine : study.dispatch) = time_of(
        setting.network, messages, row, combine ? setting.combine_copy : setting.dispatch_copy);
  });
  return studies;
}

PlacementProblem placement_problem(const RoutingProblem& problem) {
  return {problem.moe.num_experts, problem.moe.num_groups, problem.ep, problem.ranks_per_node, {}};
}

RoutingStudy study_routing(const Scenario& scenario,
                           const TrainingPhase& phase,
                           const RoutingStudyOptions& options) {
  RoutingProblem problem = routing_problem(scenario, phase);
  ENSURE(options.layer >= 0 && options.layer < problem.num_layers && options.tokens_per_rank >= 1);
  const std::vector<double> wanted =
      relative_load(problem.spec.popularity, problem.moe.num_experts, problem.seed, options.layer);
  const Placement placement = placed(problem, wanted);
  const CommModel& comm = scenario.profile.comm;
  const Network network(scenario.cluster, link_rates(scenario.cluster, comm));
  const ExchangeSetting setting{network,
                                expert_message(scenario.model, phase.plan.recipe),
                                copy_rate(comm.dispatch_per_sm, phase.plan.comm_sms),
                                copy_rate(comm.combine_per_sm, phase.plan.comm_sms)};
  RoutedGroup group = route_group(problem, wanted, options);
  RoutingStudy study{gate_spec(problem.moe, problem.spec.max_groups),
                     placement,
                     wanted,
                     std::move(group.offsets),
                     group.residual,
                     problem.ep * options.tokens_per_rank,
                     study_tokens(group.tokens, placement),
                     {},
                     {}};
  study.exchange = study_exchange(study.group.rows, setting, options.num_threads);
  if (problem.spec.max_groups < problem.moe.num_groups) {
    problem.spec.max_groups = problem.moe.num_groups;
    group = route_group(problem, wanted, options);
    study.unlimited =
        study_exchange(count_rows(group.tokens, placement), setting, options.num_threads);
  }
  return study;
}

std::vector<ReplayedLayer> replay(const TokenRecords& recorded, const RoutingProblem& problem) {
  std::vector<ReplayedLayer> layers;
  for (std::size_t i = 0; i < recorded.layers.size(); ++i) {
    const RoutedTokens& all = recorded.layers[i];
    std::vector<RoutedTokens> of_rank(idx(problem.ep));
    for (std::int64_t r = 0; r < problem.ep; ++r) {
      const std::int64_t from = all.num_tokens * r / problem.ep,
                         to = all.num_tokens * (r + 1) / problem.ep;
      of_rank[idx(r)] = {
          to - from,
          all.top_k,
          {all.experts.begin() + from * all.top_k, all.experts.begin() + to * all.top_k},
          {}};
    }
    const Placement placement = placed(problem, expert_counts({all}, problem.moe.num_experts));
    GroupStudy study = study_tokens(of_rank, placement);
    layers.push_back({recorded.first_layer + static_cast<std::int64_t>(i),
                      std::move(study.loads),
                      std::move(study.visits)});
  }
  return layers;
}

std::vector<ReplayedLayer> replay(const LoadTable& recorded, const RoutingProblem& problem) {
  std::vector<ReplayedLayer> layers;
  for (const std::vector<double>& load : recorded.layers)
    layers.push_back({std::ssize(layers), expected_loads(load, placed(problem, load)), {}});
  return layers;
}

}  // namespace moesim
