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
  const auto sure = [&](std::string (*format)(double),
                        const std::function<double(const RunResult&)>& number) {
    return input.uncertainty
               ? with_interval(
                     number(input.run), interval_of(input.run, *input.uncertainty, number), format)
               : format(number(input.run));
  };
  const auto of_main = [](double PhaseResult::*member) {
    return [member](const RunResult& r) { return r.phases.front().*member; };
  };
  add(pair ? "pair of chunks" : "step time",
      sure(format_seconds, [](const RunResult& r) { return r.phases.front().step_time.in(s); }));
  if (!pair) {
    add("tokens per second", sure(digits4, of_main(&PhaseResult::tokens_per_s)));
    add("tokens per second per GPU", sure(digits4, of_main(&PhaseResult::tokens_per_s_per_gpu)));
    add("MFU of the BF16 peak, causal attention",
        sure(format_percent, of_main(&PhaseResult::mfu_causal)));
    add("model FLOP rate per GPU, causal attention",
        sure(format_rate, of_main(&PhaseResult::flops_per_s_per_gpu_causal)));
    add("MFU of the BF16 peak, non-causal attention",
        sure(format_percent, of_main(&PhaseResult::mfu_non_causal)));
    add("model FLOP rate per GPU, non-causal attention",
        sure(format_rate, of_main(&PhaseResult::flops_per_s_per_gpu_non_causal)));
    add("GPU hours, all phases", sure(digits4, [](const RunResult& r) { return r.gpu_hours; }));
    add("cost at " + digits4(sc.cluster.price.in(USD_per_hour)) + " USD per GPU hour",
        sure(format_usd, [](const RunResult& r) { return r.cost_usd; }));
  }
  Bytes peak;
  for (const RankMemory& rank : main.memory) peak = std::max(peak, rank.total());
  add("memory of the fullest rank",
      format_bytes(peak) + " of " + format_bytes(sc.cluster.gpu.hbm) +
          (main.fits ? "" : ": DOES NOT FIT"));
  section.tables.push_back(std::move(table));
  section.paragraphs.push_back(input.run.feasible ? "The plan is feasible."
                                                  : "The plan is infeasible; see the warnings.");
  if (input.uncertainty)
    section.notes.push_back(
        "In brackets: 90 % intervals from the errors of the calibration alone (How sure).");
  return section;
}

}  // namespace moesim
