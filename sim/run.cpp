#include "sim/run.hpp"

#include <algorithm>
#include <cmath>

#include "model/json_message.hpp"
#include "sim/goodput_sampling.hpp"
#include "sim/uncertainty.hpp"

namespace moesim {
namespace {

PhaseResult run_phase(const Scenario& scenario,
                      const TrainingPhase& phase,
                      const CostModel& costs,
                      const SimulationOptions& options,
                      bool advise_memory) {
  PhaseResult result;
  result.phase = phase;
  result.refusal = schedule_refusal(phase);
  if (!result.refusal.empty()) return result;
  result.step = simulate_step(scenario, phase, costs, options);
  result.memory = memory_of(scenario, phase, result.step.mean_load);
  result.memory_over_time = memory_curves(scenario, phase, result.memory, result.step);
  for (const RankMemory& rank : result.memory)
    result.fits = result.fits && rank.total() <= scenario.cluster.gpu.hbm;
  if (advise_memory && !result.fits)
    result.memory_advice = memory_advice(scenario, phase, result.memory, result.step.mean_load);
  measure(scenario, result);
  return result;
}

}  // namespace

void add_up(const Scenario& scenario, RunResult& run) {
  run.gpu_hours = run.gpu_hours_simulated_main = 0;
  for (std::size_t i = 0; i < run.phases.size(); ++i) {
    const PhaseResult& result = run.phases[i];
    run.gpu_hours += result.gpu_hours;
    if (!result.phase.stated_gpu_hours && (i == 0 || result.phase.ramp_of == std::size_t{0}))
      run.gpu_hours_simulated_main += result.gpu_hours;
  }
  run.cost_usd = (scenario.cluster.price * (run.gpu_hours * hour)).in(USD);
  const bool all_simulated = run.phases.size() == scenario.phases.size() &&
                             std::all_of(run.phases.begin(),
                                         run.phases.end(),
                                         [](const PhaseResult& r) { return r.refusal.empty(); });
  run.operations.reset();
  if (scenario.operations && all_simulated) run.operations = operations_result(scenario, run);
}

RunResult run_scenario(const Scenario& scenario, const RunOptions& options) {
  const CostModel costs(scenario.profile, scenario.cluster.gpu);
  RunResult run;
  for (std::size_t i = 0; i < scenario.phases.size(); ++i) {
    const TrainingPhase& phase = scenario.phases[i];
    if (options.main_phase_only && i > 0) break;
    if (phase.stated_gpu_hours) {
      PhaseResult stated;
      stated.phase = phase;
      stated.gpu_hours = *phase.stated_gpu_hours;
      run.phases.push_back(std::move(stated));
      continue;
    }
    if (options.progress) options.progress(phase.name);
    SimulationOptions simulation = options.simulation;
    if (i > 0) {
      simulation.timeline_ranks.clear();
      simulation.explain = false;
    }
    run.phases.push_back(run_phase(scenario, phase, costs, simulation, options.advise_memory));
    const PhaseResult& result = run.phases.back();
    run.feasible = run.feasible && result.refusal.empty() && result.fits;
  }
  add_up(scenario, run);
  if (options.main_phase_only) run.operations.reset();  // asked about the step, not the whole run
  if (run.operations) {
    check_intervals(scenario, run);
    if (run.operations->refusal.empty())
      run.operations->samples = sample_runs(outline_of(scenario, run),
                                            scenario.seed,
                                            kNumSampledRuns,
                                            options.simulation.num_threads);
  }

  const PhaseResult& main = run.phases.front();
  for (const PhaseResult& r : run.phases) {
    if (!r.refusal.empty())
      run.warnings.push_back(r.phase.name + ": " + r.refusal +
                             "; use more sequences a batch, fewer stages or another schedule");
    if (!r.fits)
      run.warnings.push_back(r.phase.name +
                             ": does not fit in memory; see the memory table and, below it, "
                             "what each of a few changes of the plan would save");
  }
  if (run.operations && !run.operations->refusal.empty()) {
    run.feasible = false;
    run.warnings.push_back(run.operations->refusal +
                           "; checkpoint more often, restart faster or use fewer GPUs");
  }
  constexpr double kVisibleMiss = 0.1;  // of the mean load; below it a sample's noise is as large
  if (main.step.popularity_residual > kVisibleMiss)
    run.warnings.push_back(
        "the gate cannot give every expert the load its popularity asks for (largest miss " +
        number_text(std::round(1000 * main.step.popularity_residual) / 1000) +
        " of the mean load); loads are what it gives. Allow more groups or a flatter popularity");
  if (const Profile& profile = scenario.profile; costs.is_derived())
    run.warnings.push_back(
        "profile " + profile.id + " was " +
        (profile.kind == ProfileKind::derived
             ? "derived from " + profile.derived_from + ", not measured"
             : "measured on " + profile.gpu.name + ", not on " + scenario.cluster.gpu.name) +
        ": rates are carried over by datasheet ratios and count as "
        "extrapolated; calibrate on the GPU itself to remove this");
  const double roofline = main.origin_share[static_cast<std::size_t>(Origin::roofline)];
  if (roofline > 0)
    run.warnings.push_back(
        "some kernels are not in the profile and are costed at the datasheet roofline, which is "
        "optimistic; add them to the profile");
  if (const std::string refusal = uncertainty_refusal(run); !refusal.empty())
    run.warnings.push_back(refusal);
  return run;
}

}  // namespace moesim
