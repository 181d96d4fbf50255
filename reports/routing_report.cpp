#include "reports/routing_report.hpp"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "reports/format.hpp"
#include "sim/stage_costs.hpp"

namespace moesim {
namespace {

constexpr double kMuchMissed = 0.1;  // of the mean load; below, chance hides it
constexpr std::size_t kMostSeriesRows = 20;

std::string text(std::int64_t value) { return std::to_string(value); }
// What the scenario states, as short as it was stated.
std::string stated(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.6g", value);
  return buffer;
}

std::vector<std::pair<std::string, std::string>> facts_of(const RoutingRun& run) {
  const MoeSpec& moe = *run.scenario.model.moe;
  const ParallelPlan& plan = run.phase.plan;
  const std::int64_t num_layers = routing_problem(run.scenario, run.phase).num_layers;
  std::vector<std::pair<std::string, std::string>> facts = {
      {"scenario hash", run.scenario.hash},
      {"profile", run.scenario.profile.id},
      {"seed", std::to_string(run.scenario.seed)},
      {"phase", run.phase.name}};
  if (run.study) {
    facts.emplace_back("gate", gate_text(moe));
    facts.emplace_back("groups", groups_text(moe, run.phase.routing.max_groups));
  }
  const std::int64_t num_nodes = (plan.ep - 1) / run.scenario.cluster.gpus_per_node + 1;
  facts.emplace_back("expert-parallel group",
                     text(plan.ep) + (plan.ep == 1 ? " GPU on " : " GPUs on ") + text(num_nodes) +
                         (num_nodes == 1 ? " node" : " nodes"));
  facts.emplace_back("placement",
                     placement_text(plan.placement, local_experts(run.scenario.model, plan)));
  if (!run.study) return facts;
  facts.emplace_back(
      "layer",
      text(run.options.layer) + ", counted from 0 over the " + text(num_layers) + " with experts");
  facts.emplace_back("popularity", popularity_text(run.phase.routing.popularity));
  if (run.phase.routing.popularity.kind != PopularityKind::uniform)
    facts.emplace_back(
        "calibration",
        "largest miss of an expert's load " + digits4(run.study->residual) +
            " of the mean, in the tokens it was made on; others differ from these by chance");
  const CorrelationSpec& correlation = run.phase.routing.correlation;
  if (correlation.rho > 0)
    facts.emplace_back(
        "correlation",
        stated(correlation.rho) + " within every " + text(correlation.cluster_size) + " experts");
  facts.emplace_back(
      "tokens",
      text(run.options.tokens_per_rank) + " a GPU, " + text(run.study->num_tokens) + " in all");
  return facts;
}

Section replay_section(const RoutingRun& run) {
  const bool has_tokens = run.replayed.front().visits.has_value();
  Section section{"Replay of " + run.replayed_file, {}, {}, {}};
  Table table{"",
              {has_tokens ? "layer" : "row",
               "experts max/mean",
               "CV",
               "GPUs max/mean",
               "CV",
               "nodes max/mean"},
              {}};
  if (has_tokens)
    for (const char* column : {"GPUs a token", "nodes a token"}) table.columns.emplace_back(column);
  for (const ReplayedLayer& layer : run.replayed) {
    const LoadSpread experts = spread_of(layer.loads.expert), gpus = spread_of(layer.loads.rank);
    table.rows.push_back({text(layer.layer),
                          digits4(experts.max_over_mean),
                          digits4(experts.cv),
                          digits4(gpus.max_over_mean),
                          digits4(gpus.cv),
                          digits4(spread_of(layer.loads.node).max_over_mean)});
    if (!has_tokens) continue;
    table.rows.back().push_back(digits4(layer.visits->ranks_per_token));
    table.rows.back().push_back(digits4(layer.visits->nodes_per_token));
  }
  section.tables.push_back(std::move(table));
  section.notes.push_back(
      has_tokens ? "Experts are as recorded: the scenario's gate and node limit take no part. The "
                   "tokens belong to the GPUs in equal parts, in their order."
                 : "Loads alone are recorded: replicas share an expert's load equally.");
  const PlacementPolicy policy = run.phase.plan.placement.policy;
  if (policy == PlacementPolicy::eplb_global || policy == PlacementPolicy::eplb_hierarchical)
    section.notes.push_back(
        "EPLB places every layer by the loads that it then gets, as if they were known before.");
  return section;
}

// Every so many batches, the first and the last among them.
std::vector<std::size_t> shown(std::size_t n) {
  const std::size_t stride = (n + kMostSeriesRows - 1) / kMostSeriesRows;
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < n; i += stride) rows.push_back(i);
  if (rows.back() != n - 1) rows.push_back(n - 1);
  return rows;
}

Section balancing_section(const BalancingRun& run) {
  const BalancingResult& r = run.result;
  const bool drops = run.options.capacity.factor > 0;
  Section section{"Balancing: " + run.mechanism, {}, {}, {}};
  const bool learns = run.options.loss.any();
  Table series{"", {"batch", "MaxVio", "CV"}, {}};
  if (learns) series.columns.emplace_back("loss");
  if (drops) series.columns.emplace_back("dropped");
  for (const std::size_t i : shown(r.max_vio.size())) {
    series.rows.push_back({std::to_string(i), digits4(r.max_vio[i]), digits4(r.cv[i])});
    if (learns) series.rows.back().push_back(digits4(r.loss[i]));
    if (drops) series.rows.back().push_back(format_percent(r.drop_rate[i]));
  }
  const std::size_t tail = std::max<std::size_t>(1, r.max_vio.size() / 10);
  const double late =
      std::accumulate(r.max_vio.end() - static_cast<std::ptrdiff_t>(tail), r.max_vio.end(), 0.0) /
      static_cast<double>(tail);
  const auto [least, most] = std::minmax_element(r.bias.begin(), r.bias.end());
  auto mean_load = static_cast<double>(run.options.tokens_per_batch * run.options.gate.top_k) /
                   static_cast<double>(run.options.gate.num_experts);
  Table end{"At the end",
            {"quantity", "value"},
            {{"MaxVio, mean of the last tenth", digits4(late)},
             {"MaxVio of all batches together", digits4(r.max_vio_global)},
             {"bias, lowest and highest",
              digits4(static_cast<double>(*least)) + " and " + digits4(static_cast<double>(*most))},
             {"mean load of an expert in a batch", digits4(mean_load)}}};
  section.tables = {std::move(series), std::move(end)};
  section.notes = {
      "Batches of " + text(run.options.tokens_per_batch) + " tokens, from the scenario's " +
          "popularity as the start. MaxVio of a batch does not go to 0: equal experts differ by "
          "chance.",
      "What follows this section is the scenario's own routing, before any balancing.",
      "The router has no language-model loss, which pulls against balance. Its learning rate is "
      "of plain gradient descent and has no published counterpart."};
  return section;
}

Section rebalancing_section(const RebalancingRun& run) {
  const RebalancingResult& r = run.result;
  const RebalanceCost& c = run.cost;
  Section section{"Rebalancing every " + text(run.options.every) + " steps", {}, {}, {}};
  Table loads{"Load of the fullest GPU over the mean", {"", "mean", "worst"}, {}};
  auto add = [&](const std::string& name, const std::vector<double>& values) {
    const Summary summary = summary_of(values);
    loads.rows.push_back({name, digits4(summary.mean), digits4(summary.worst)});
  };
  add("all steps", r.rebalanced);
  add("right after a rebalance", r.after);
  add("right before a rebalance", r.before);
  add("never rebalanced", r.never);
  if (!r.contiguous.empty()) add("contiguous placement", r.contiguous);
  Table cost{"A rebalance, on average",
             {"quantity", "value"},
             {{"replicas moved in a layer", digits4(c.replicas_moved)},
              {"of these from the own node", digits4(c.replicas_from_own_node)},
              {"weights of an expert", format_bytes(c.expert_weights)},
              {"layers with experts", text(c.num_layers)},
              {"moved inside nodes", format_bytes(c.from_own_node)},
              {"moved over the network", format_bytes(c.moved - c.from_own_node)},
              {"takes at least", format_seconds(c.at_least.in(s))}}};
  section.tables = {std::move(loads), std::move(cost)};
  section.notes = {
      text(run.options.num_steps) + " steps and " + std::to_string(r.changes.size()) +
          " rebalances of layer " + text(run.options.layer) +
          ", with expected loads: chance comes on top.",
      "Bytes are of one expert-parallel group of every pipeline rank; every layer is taken to move "
      "as "
      "much as this one. The time is that of the fullest stage's links, with nothing else on "
      "them.",
      "EPLB packs anew and does not try to leave replicas where they are."};
  return section;
}

}  // namespace

std::string gate_text(const MoeSpec& moe) {
  std::string line = moe.score == ScoreFunction::sigmoid ? "sigmoid" : "softmax";
  line += ", top-" + text(moe.top_k) + " of " + text(moe.num_experts) + " experts";
  return line + (moe.renormalise ? ", weights renormalised" : "");
}

std::string groups_text(const MoeSpec& moe, std::int64_t max_groups) {
  if (max_groups >= moe.num_groups)
    return text(moe.num_groups) + (moe.num_groups == 1 ? " group" : " groups") + ", no limit";
  return text(moe.num_groups) + " groups of " + text(moe.num_experts / moe.num_groups) +
         " experts, of which a token visits at most " + text(max_groups) + ", chosen by " +
         (moe.group_score == GroupScore::best_expert ? "their best expert"
                                                     : "the sum of their best experts");
}

std::string placement_text(const PlacementSpec& spec, std::int64_t slots_per_rank) {
  const char* name = spec.policy == PlacementPolicy::contiguous          ? "contiguous"
                     : spec.policy == PlacementPolicy::round_robin       ? "round robin"
                     : spec.policy == PlacementPolicy::eplb_hierarchical ? "EPLB, hierarchical"
                     : spec.policy == PlacementPolicy::eplb_global       ? "EPLB, global"
                                                                         : "as given";
  return std::string(name) + ", " + text(slots_per_rank) +
         (slots_per_rank == 1 ? " slot" : " slots") + " a GPU, " + text(spec.redundant_experts) +
         " redundant experts";
}

std::string popularity_text(const PopularitySpec& spec) {
  std::string line;
  switch (spec.kind) {
    case PopularityKind::uniform: return "uniform";
    case PopularityKind::zipf: line = "Zipf, exponent " + stated(spec.exponent); break;
    case PopularityKind::power_law:
      line = "power law, exponent " + stated(spec.exponent) + ", highest over lowest " +
             stated(spec.highest / spec.lowest);
      break;
    case PopularityKind::dirichlet: line = "Dirichlet, cv " + stated(spec.cv); break;
    case PopularityKind::table:
      line = "table of " + text(std::ssize(spec.table->layers)) + " layers";
      break;
  }
  return spec.drift_time > 0 ? line + ", another draw every " + stated(spec.drift_time) + " steps"
                             : line;
}

Summary summary_of(const std::vector<double>& series) {
  return {std::accumulate(series.begin(), series.end(), 0.0) / static_cast<double>(series.size()),
          *std::max_element(series.begin(), series.end())};
}

std::vector<std::string> routing_warnings(const RoutingRun& run) {
  std::vector<std::string> warnings;
  const RoutingSpec& routing = run.phase.routing;
  if (!run.study) return warnings;
  if (run.study->residual > kMuchMissed)
    warnings.push_back("The gate cannot give the popularity: an expert's load misses it by " +
                       digits4(run.study->residual) +
                       " of the mean load. An expert is not chosen more often than its group is "
                       "kept: raise /routing/max_groups or ask for less skew.");
  if (routing.kind == RoutingKind::balanced)
    warnings.emplace_back(
        "This phase's routing is \"balanced\": its simulation gives every GPU the mean. Tokens "
        "here are routed, with uniform popularity.");
  if (routing.sequence_cv > 0)
    warnings.push_back("Sequences have no popularity of their own here: /routing/sequence_cv " +
                       stated(routing.sequence_cv) +
                       " is left out, so loads differ less than in a simulated run.");
  if (run.balancing && routing.popularity.kind == PopularityKind::uniform)
    warnings.emplace_back(
        "The popularity is uniform, so that balancing starts from balance; set "
        "/routing/popularity to something skewed.");
  return warnings;
}

Report routing_report(const RoutingRun& run) {
  Report report;
  report.title = run.scenario.name + ": routing";
  report.facts = facts_of(run);
  report.warnings = routing_warnings(run);
  if (run.balancing) report.sections.push_back(balancing_section(*run.balancing));
  if (run.rebalancing) report.sections.push_back(rebalancing_section(*run.rebalancing));
  if (!run.replayed.empty()) report.sections.push_back(replay_section(run));
  if (!run.study) return report;
  for (Section& section : study_sections(run)) report.sections.push_back(std::move(section));
  return report;
}

}  // namespace moesim
