// The document of `moesim routing --json`: plain SI numbers, units last, loads over their mean.
#include "reports/routing_report.hpp"

namespace moesim {
namespace {

JsonValue numbers(const std::vector<double>& values) {
  JsonValue list = JsonValue::array();
  for (const double v : values) list.push(v);
  return list;
}

JsonValue spread_json(const std::vector<double>& loads) {
  const LoadSpread spread = spread_of(loads);
  std::vector<double> relative;
  for (const double load : loads) relative.push_back(load / spread.mean);
  return JsonValue::object()
      .set("max_over_mean", spread.max_over_mean)
      .set("min_over_mean", spread.min_over_mean)
      .set("cv", spread.cv)
      .set("max_violation", spread.max_violation())
      .set("load_over_mean", numbers(relative));
}

void set_loads(JsonValue& object, const UnitLoads& loads) {
  object.set("experts", spread_json(loads.expert));
  object.set("gpus", spread_json(loads.rank));
  object.set("nodes", spread_json(loads.node));
}

void set_visits(JsonValue& object, const TokenVisits& visits) {
  object.set("copies_per_token", visits.copies_per_token);
  object.set("gpus_per_token", visits.ranks_per_token);
  object.set("nodes_per_token", visits.nodes_per_token);
  object.set("share_of_tokens_by_nodes", numbers(visits.share_by_nodes));
}

JsonValue exchange_json(const ExchangeStudy& e, double num_tokens) {
  JsonValue object = JsonValue::object();
  object.set("algorithm", algorithm_name(e.algorithm));
  object.set("network_rows_per_token", e.network_rows / num_tokens);
  object.set("nvlink_rows_per_token", e.nvlink_rows / num_tokens);
  object.set("logical_rows_per_token", e.logical_rows / num_tokens);
  for (const bool combine : {false, true}) {
    const ExchangeTime& t = combine ? e.combine : e.dispatch;
    const double per_token = t.row.in(B) / num_tokens;
    object.set(combine ? "combine" : "dispatch",
               JsonValue::object()
                   .set("row_bytes", t.row.in(B))
                   .set("network_wire_bytes_per_token", e.network_rows * per_token)
                   .set("nvlink_wire_bytes_per_token", e.nvlink_rows * per_token)
                   .set("logical_bytes_per_token", e.logical_rows * per_token)
                   .set("busiest_link_time_s", t.busiest_link.in(s))
                   .set("simulated_time_s", t.simulated.in(s)));
  }
  return object;
}

JsonValue exchanges_json(const std::array<ExchangeStudy, 3>& exchanges, double num_tokens) {
  JsonValue list = JsonValue::array();
  for (const ExchangeStudy& e : exchanges) list.push(exchange_json(e, num_tokens));
  return list;
}

JsonValue study_json(const RoutingStudy& study) {
  const auto num_tokens = static_cast<double>(study.num_tokens);
  JsonValue object = JsonValue::object();
  object.set("num_tokens", study.num_tokens).set("calibration_residual", study.residual);
  object.set("popularity_load_over_mean", numbers(study.wanted));
  set_loads(object, study.group.loads);
  set_visits(object, study.group.visits);
  object.set("exchange", exchanges_json(study.exchange, num_tokens));
  object.set("exchange_without_node_limit",
             study.unlimited ? exchanges_json(*study.unlimited, num_tokens) : JsonValue());
  const std::vector<double> rows = rows_between_nodes(study.group.rows);
  const auto nodes = static_cast<std::size_t>(study.placement.num_nodes());
  JsonValue matrix = JsonValue::array();
  for (std::size_t n = 0; n < nodes; ++n) {
    const auto first = rows.begin() + static_cast<std::ptrdiff_t>(n * nodes);
    matrix.push(numbers({first, first + static_cast<std::ptrdiff_t>(nodes)}));
  }
  object.set("rows_from_node_to_node", std::move(matrix));
  return object;
}

JsonValue replay_json(const RoutingRun& run) {
  JsonValue layers = JsonValue::array();
  for (const ReplayedLayer& layer : run.replayed) {
    JsonValue object = JsonValue::object();
    object.set("layer", layer.layer);
    set_loads(object, layer.loads);
    if (layer.visits) set_visits(object, *layer.visits);
    layers.push(std::move(object));
  }
  return JsonValue::object().set("file", run.replayed_file).set("layers", std::move(layers));
}

JsonValue balancing_json(const BalancingRun& run) {
  JsonValue bias = JsonValue::array(), offsets = JsonValue::array();
  for (const float b : run.result.bias) bias.push(static_cast<double>(b));
  for (const float o : run.result.offsets) offsets.push(static_cast<double>(o));
  return JsonValue::object()
      .set("mechanism", run.mechanism)
      .set("num_batches", run.options.num_batches)
      .set("tokens_per_batch", run.options.tokens_per_batch)
      .set("bias_speed", run.options.bias_speed)
      .set("learning_rate", run.options.learning_rate)
      .set("max_violation_global", run.result.max_vio_global)
      .set("max_violation", numbers(run.result.max_vio))
      .set("cv", numbers(run.result.cv))
      .set("loss", numbers(run.result.loss))
      .set("drop_rate", numbers(run.result.drop_rate))
      .set("final_offsets", std::move(offsets))
      .set("final_bias", std::move(bias));
}

JsonValue series_json(const std::vector<double>& series) {
  const Summary summary = summary_of(series);
  return JsonValue::object()
      .set("mean", summary.mean)
      .set("worst", summary.worst)
      .set("max_over_mean", numbers(series));
}

JsonValue rebalancing_json(const RebalancingRun& run) {
  const RebalancingResult& r = run.result;
  const RebalanceCost& c = run.cost;
  return JsonValue::object()
      .set("every_steps", run.options.every)
      .set("num_steps", run.options.num_steps)
      .set("rebalanced", series_json(r.rebalanced))
      .set("right_after", series_json(r.after))
      .set("right_before", series_json(r.before))
      .set("never", series_json(r.never))
      .set("contiguous", r.contiguous.empty() ? JsonValue() : series_json(r.contiguous))
      .set("replicas_moved_per_layer", c.replicas_moved)
      .set("replicas_from_own_node_per_layer", c.replicas_from_own_node)
      .set("num_layers", c.num_layers)
      .set("expert_weights_bytes", c.expert_weights.in(B))
      .set("moved_bytes", c.moved.in(B))
      .set("moved_inside_nodes_bytes", c.from_own_node.in(B))
      .set("moved_over_network_bytes", (c.moved - c.from_own_node).in(B))
      .set("move_time_at_least_s", c.at_least.in(s));
}

}  // namespace

JsonValue routing_json(const RoutingRun& run) {
  const Scenario& scenario = run.scenario;
  JsonValue doc = JsonValue::object();
  doc.set("schema_version", 1).set("scenario", scenario.name);
  doc.set("scenario_hash", scenario.hash).set("profile", scenario.profile.id);
  doc.set("seed", static_cast<std::int64_t>(scenario.seed)).set("phase", run.phase.name);
  doc.set("layer", run.options.layer).set("num_ranks", run.phase.plan.ep);
  doc.set("num_experts", scenario.model.moe->num_experts).set("top_k", scenario.model.moe->top_k);
  doc.set("num_groups", scenario.model.moe->num_groups);
  doc.set("max_groups", run.phase.routing.max_groups);
  JsonValue warnings = JsonValue::array();
  for (const std::string& warning : routing_warnings(run)) warnings.push(warning);
  doc.set("warnings", std::move(warnings));
  if (run.study) doc.set("routed", study_json(*run.study));
  if (!run.replayed.empty()) doc.set("replayed", replay_json(run));
  if (run.balancing) doc.set("balancing", balancing_json(*run.balancing));
  if (run.rebalancing) doc.set("rebalancing", rebalancing_json(*run.rebalancing));
  return doc;
}

}  // namespace moesim
