#include "reports/format.hpp"
#include "reports/sections/sections.hpp"

namespace moesim {

std::optional<Section> summary_section(const ReportInput& input) {
  const PhaseResult& main = input.run.phases.front();
  const Scenario& sc = input.scenario;
  Section section;
  section.title = "Summary";
  if (!main.refusal.empty()) {
    section.paragraphs.push_back("Infeasible: " + main.refusal + ".");
    return section;
  }
  const bool pair = main.phase.plan.schedule == ScheduleKind::overlapped_pair;
  Table table{"", {"quantity", "value"}, {}};
  auto add = [&](const std::string& name, const std::string& value) {
    table.rows.push_back({name, value});
  };
  add("model",
      sc.model.name + ", " + format_count(static_cast<double>(count_parameters(sc.model).total())) +
          " parameters, " + format_count(static_cast<double>(active_parameters(sc.model))) +
          " active");
  add("cluster",
      std::to_string(sc.cluster.num_gpus()) + " " + sc.cluster.gpu.name + " in " +
          std::to_string(sc.cluster.num_nodes) + " nodes");
  add(pair ? "pair of chunks" : "step time", format_seconds(main.step_time.in(s)));
  if (!pair) {
    add("tokens per second",
        digits4(main.tokens_per_s) + " (" + digits4(main.tokens_per_s_per_gpu) + " per GPU)");
    add("MFU of the BF16 peak, causal attention",
        format_percent(main.mfu_causal) + " (" + format_rate(main.flops_per_s_per_gpu_causal) +
            " per GPU)");
    add("MFU of the BF16 peak, non-causal attention",
        format_percent(main.mfu_non_causal) + " (" +
            format_rate(main.flops_per_s_per_gpu_non_causal) + " per GPU)");
    add("GPU hours, all phases", digits4(input.run.gpu_hours));
    add("cost at " + digits4(sc.cluster.price.in(USD_per_hour)) + " USD per GPU hour",
        format_usd(input.run.cost_usd));
  }
  Bytes peak;
  for (const RankMemory& rank : main.memory) peak = std::max(peak, rank.total());
  add("memory of the fullest rank",
      format_bytes(peak) + " of " + format_bytes(sc.cluster.gpu.hbm) +
          (main.fits ? "" : ": DOES NOT FIT"));
  section.tables.push_back(std::move(table));
  section.paragraphs.push_back(input.run.feasible ? "The plan is feasible."
                                                  : "The plan is infeasible; see the warnings.");
  return section;
}

}  // namespace moesim
