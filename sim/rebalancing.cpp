#include "sim/rebalancing.hpp"

#include <algorithm>

#include "model/errors.hpp"
#include "model/model_counts.hpp"
#include "sim/routing_study.hpp"
#include "sim/schedule/schedule.hpp"
#include "sim/stage_costs.hpp"

namespace moesim {
namespace {

double imbalance(const std::vector<double>& load, const Placement& placement) {
  return spread_of(expected_loads(load, placement).rank).max_over_mean;
}

Bytes expert_weight_bytes(const ModelSpec& model, Recipe recipe) {
  // The scales of FP8 blocks, 4 bytes for 128 x 128 weights, are left out.
  const double bytes_each = is_fp8(recipe) ? 1 : 2;
  return bytes_each * static_cast<double>(expert_parameters(model)) * B;
}

}  // namespace

RebalancingResult simulate_rebalancing(const Scenario& scenario,
                                       const TrainingPhase& phase,
                                       const RebalancingOptions& options) {
  ENSURE(options.every >= 1 && options.every < options.num_steps);
  const RoutingProblem routing = routing_problem(scenario, phase);
  ENSURE(routing.spec.popularity.drift_time > 0);
  PlacementProblem problem = placement_problem(routing);
  const PlacementSpec in_order;
  const bool divides = placement_refusal(in_order, problem).empty();
  const Placement contiguous = divides ? place_experts(in_order, problem) : Placement();

  RebalancingResult result;
  Placement first, current;
  for (std::int64_t step = 0; step < options.num_steps; ++step) {
    problem.load = relative_load(routing.spec.popularity,
                                 problem.num_experts,
                                 routing.seed,
                                 options.layer,
                                 static_cast<double>(step));
    const std::string refusal = popularity_refusal(problem.load, routing.moe.top_k);
    if (!refusal.empty())
      throw InputError("/routing/popularity",
                       "has drifted by step " + std::to_string(step) + " so that " + refusal);
    if (step == 0) first = current = place_experts(routing.placement, problem);
    if (step > 0 && step % options.every == 0) {
      Placement next = place_experts(routing.placement, problem);
      result.before.push_back(imbalance(problem.load, current));
      result.after.push_back(imbalance(problem.load, next));
      result.changes.push_back(change_between(current, next));
      current = std::move(next);
    }
    result.rebalanced.push_back(imbalance(problem.load, current));
    result.never.push_back(imbalance(problem.load, first));
    if (divides) result.contiguous.push_back(imbalance(problem.load, contiguous));
  }
  return result;
}

RebalanceCost rebalance_cost(const std::vector<PlacementChange>& changes,
                             const Scenario& scenario,
                             const TrainingPhase& phase) {
  ENSURE(!changes.empty());
  RebalanceCost cost;
  const auto n = static_cast<double>(changes.size());
  double most_received = 0;
  for (const PlacementChange& change : changes) {
    cost.replicas_moved += static_cast<double>(change.replicas_moved) / n;
    cost.replicas_from_own_node += static_cast<double>(change.replicas_from_own_node) / n;
    most_received += static_cast<double>(change.most_received_by_a_rank) / n;
  }
  const ParallelPlan& plan = phase.plan;
  const auto stages = stage_layers(plan, scenario.model);
  std::int64_t layers_of_a_rank = 0;  // of all its stages
  for (std::int64_t rank = 0; rank < plan.pp; ++rank) {
    std::int64_t layers = 0;
    for (const std::int64_t st : plan.layout().stages_of(rank)) {
      const auto& stage = stages[static_cast<std::size_t>(st)];
      layers += std::count(stage.begin(), stage.end(), LayerKind::moe);
    }
    cost.num_layers += layers;
    layers_of_a_rank = std::max(layers_of_a_rank, layers);
  }
  cost.expert_weights = expert_weight_bytes(scenario.model, phase.plan.recipe);
  const Bytes all_layers = static_cast<double>(cost.num_layers) * cost.expert_weights;
  cost.moved = cost.replicas_moved * all_layers;
  cost.from_own_node = cost.replicas_from_own_node * all_layers;

  const LinkRates links = link_rates(scenario.cluster, scenario.profile.comm);
  const auto num_ranks = static_cast<double>(phase.plan.ep);
  const Bytes of_a_rank = static_cast<double>(layers_of_a_rank) * cost.expert_weights;
  const double from_elsewhere = cost.replicas_moved - cost.replicas_from_own_node;
  cost.at_least = std::max({from_elsewhere / num_ranks * of_a_rank / links.nic,
                            cost.replicas_from_own_node / num_ranks * of_a_rank / links.nvlink,
                            most_received * of_a_rank / (links.nic + links.nvlink)});
  return cost;
}

}  // namespace moesim
