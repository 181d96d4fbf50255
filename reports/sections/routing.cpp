#include "reports/format.hpp"
#include "reports/routing_report.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {

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
  section.notes.push_back(
      "A factor of 1 is a fabric that does not block; others come from a simulation of all "
      "messages of "
      "one such transfer, all groups sending at once.");
  return section;
}

}  // namespace moesim
