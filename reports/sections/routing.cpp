#include <algorithm>

#include "reports/format.hpp"
#include "reports/routing_report.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {
namespace {

std::string numbered(std::size_t i) { return std::to_string(i); }

Chart loads_chart(const RoutingPicture& picture, const std::string& of) {
  Heatmap chart;
  chart.x_name = "rank of the group";
  chart.y_name = "layer with experts";
  chart.value = {"rows over those of the mean rank", "", false};
  chart.cells = picture.relative_rows;
  double most = 0;
  for (std::size_t layer = 0; layer < chart.cells.size(); ++layer) {
    chart.y_categories.push_back(numbered(layer));
    for (const double value : chart.cells[layer]) most = std::max(most, value);
  }
  for (std::size_t rank = 0; rank < chart.cells.front().size(); ++rank)
    chart.x_categories.push_back(numbered(rank));
  return {of + ": load of experts",
          most <= 1 + 1e-9
              ? "Every rank has the mean load."
              : "The fullest rank of any layer has " + digits4(most) + " times the mean.",
          std::move(chart)};
}

Chart traffic_chart(const RoutingPicture& picture, const std::string& of) {
  Heatmap chart;
  const std::string place = picture.by_node ? "node" : "rank";
  chart.x_name = "to " + place;
  chart.y_name = "from " + place;
  chart.value = {"data", "MB", false};
  double inside = 0, between = 0;
  for (std::size_t from = 0; from < picture.dispatched.size(); ++from) {
    chart.x_categories.push_back(numbered(from));
    chart.y_categories.push_back(numbered(from));
    chart.cells.emplace_back();
    for (std::size_t to = 0; to < picture.dispatched.size(); ++to) {
      const double megabytes = picture.dispatched[from][to].in(MB);
      chart.cells.back().push_back(megabytes);
      (from == to ? inside : between) += megabytes;
    }
  }
  return {of + ": one dispatch from " + place + " to " + place,
          picture.by_node ? digits4(between) + " MB cross the network and " + digits4(inside) +
                                " MB NVLink inside nodes (on the diagonal), of " +
                                std::to_string(picture.tokens) + " tokens a rank."
                          : digits4(between) + " MB cross NVLink, of " +
                                std::to_string(picture.tokens) + " tokens a rank.",
          std::move(chart)};
}

}  // namespace

std::vector<Chart> routing_charts(const RoutingPicture& picture, const std::string& of) {
  return {loads_chart(picture, of), traffic_chart(picture, of)};
}

std::optional<Section> routing_section(const ReportInput& input) {
  const PhaseResult& main = input.run.phases.front();
  const Scenario& sc = input.scenario;
  if (!sc.model.moe || !main.refusal.empty()) return std::nullopt;
  const RoutingSpec& routing = main.phase.routing;
  const StepResult& step = main.step;
  Section section;
  section.title = "Routing and network";
  Table table{"", {"quantity", "value"}, {}};
  auto add = [&](const std::string& name, const std::string& value) {
    table.rows.push_back({name, value});
  };
  add("gate", gate_text(*sc.model.moe) + ", " + groups_text(*sc.model.moe, routing.max_groups));
  add("popularity of experts",
      routing.kind == RoutingKind::balanced ? "balanced: every rank gets the mean"
                                            : popularity_text(routing.popularity));
  if (routing.sequence_cv > 0)
    add("popularity of one sequence", "varies by cv " + digits4(routing.sequence_cv));
  if (routing.correlation.rho > 0)
    add("correlation of a token's experts",
        digits4(routing.correlation.rho) + " in clusters of " +
            std::to_string(routing.correlation.cluster_size));
  add("placement",
      placement_text(main.phase.plan.placement, local_experts(sc.model, main.phase.plan)));
  add("nodes a token visits", digits4(step.nodes_per_token));
  add("ranks a token visits", digits4(step.ranks_per_token));
  add("rows of the fullest rank over the mean", digits4(step.max_over_mean_rows));
  if (step.popularity_residual > 0)
    add("largest miss of a wanted relative load", digits4(step.popularity_residual));
  section.tables.push_back(std::move(table));

  Table slow{"How much longer transfers take than their ports need, because the fabric is shared",
             {"transfer", "factor"},
             {{"dispatch", digits4(step.contention.dispatch)},
              {"combine", digits4(step.contention.combine)},
              {"pipeline messages", digits4(step.contention.send)},
              {"gradients outside the experts", digits4(step.contention.dense_ring)},
              {"gradients of the experts", digits4(step.contention.expert_ring)}}};
  section.tables.push_back(std::move(slow));
  if (input.routing) {
    section.charts = routing_charts(*input.routing, "First group, first microbatch");
    section.notes.push_back(
        "Charts: of one microbatch of the first expert-parallel group, as the law of the routing "
        "draws it; the traffic is that of the first layer with experts.");
  }
  section.notes.push_back(
      "A factor of 1 is a fabric that does not block; others come from a simulation of all "
      "messages of "
      "one such transfer, all groups sending at once.");
  return section;
}

}  // namespace moesim
