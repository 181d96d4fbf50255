#include "sim/uncertainty.hpp"

#include <algorithm>
#include <cmath>

#include "model/parallel_for.hpp"
#include "model/profile_transfer.hpp"

namespace moesim {
namespace {

// An event takes about 150 ns, and some twenty simulations are made: above the first a step of many
// different ranks is folded, above the second even a folded one is not repeated. A folded step of
// DeepSeek-V3 on 2,048 GPUs has 84,000.
constexpr std::uint64_t kMostEvents = 100'000, kMostFoldedEvents = 3'000'000;

constexpr std::array kSigns = {-1.0, 1.0};

// The phase that is simulated again and again, its loads drawn once.
class Repeated {
 public:
  Repeated(const Scenario& scenario, const PhaseResult& main, int num_threads)
      : scenario_(scenario), phase_(main.phase) {
    const bool alike = ranks_are_identical(scenario.model, phase_);
    const bool folded = alike || main.step.num_events > kMostEvents;
    from_balanced_ = folded && !alike;
    if (from_balanced_) phase_.routing.kind = RoutingKind::balanced;
    const CostModel model(scenario_.profile, scenario_.cluster.gpu);
    costs_.emplace(
        scenario_, phase_, model, folded, num_threads, KnownTraffic{main.step.contention, nullptr});
  }
  bool from_balanced() const { return from_balanced_; }
  PhaseResult under(const Scenario& moved) const {
    const CostModel model(moved.profile, moved.cluster.gpu);
    PhaseResult result;
    result.phase = phase_;
    result.step = simulate_step(moved, phase_, model, costs_->under(moved, phase_, model), SimulationOptions{});
    measure(moved, result);
    return result;
  }

 private:
  const Scenario& scenario_;
  TrainingPhase phase_;
  bool from_balanced_ = false;
  std::optional<StageCosts> costs_;
};

RunResult without_timelines(RunResult run) {
  for (PhaseResult& phase : run.phases) phase.step.timeline = {};
  if (run.operations) run.operations->samples.clear();
  return run;
}

template <std::size_t N>
void move_parts(std::array<double, N>& parts,
                const std::array<double, N>& base,
                const std::array<double, N>& moved,
                double scale) {
  for (std::size_t i = 0; i < N; ++i)
    parts[i] = std::max(0.0, parts[i] + scale * (moved[i] - base[i]));
}

void move_waterfall(std::vector<WaterfallLine>& lines,
                    const PhaseResult& base,
                    const PhaseResult& moved,
                    double scale) {
  if (lines.empty()) return;
  ENSURE(lines.size() == base.waterfall.size() && lines.size() == moved.waterfall.size());
  const double ideal = lines.front().seconds;  // model FLOPs at the peak: no profile in it
  double total = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    lines[i].seconds += scale * (moved.waterfall[i].seconds - base.waterfall[i].seconds);
    total += lines[i].seconds;
    lines[i].mfu_after = ideal / total;
  }
}

// `run` with its first phase changed as `moved` differs from `base`.
RunResult moved_run(const Scenario& scenario,
                    RunResult run,
                    const PhaseResult& base,
                    const PhaseResult& moved) {
  const double factor = moved.step_time / base.step_time;
  PhaseResult& main = run.phases.front();
  const double scale = main.step_time / base.step_time;
  move_parts(main.category_s, base.category_s, moved.category_s, scale);
  move_parts(main.phase_s, base.phase_s, moved.phase_s, scale);
  move_parts(main.first_rank_phase_s, base.first_rank_phase_s, moved.first_rank_phase_s, scale);
  move_parts(main.origin_share, base.origin_share, moved.origin_share, 1);
  move_waterfall(main.waterfall, base, moved, scale);
  for (PhaseResult& phase : run.phases) {
    if (phase.phase.stated_gpu_hours || !phase.refusal.empty()) continue;
    phase.step_time = factor * phase.step_time;
    measure_rates(scenario, phase);
  }
  add_up(scenario, run);
  return run;
}

// What the kernels of a source may be wrong by, weighted by the time they take.
struct KernelErrors {
  Seconds time, slow_time;
  std::vector<std::string> bases;
};

void add_basis(std::vector<std::string>& bases, const std::string& basis) {
  if (std::find(bases.begin(), bases.end(), basis) == bases.end()) bases.push_back(basis);
}

// Of every source, over all layers of the model at the mean load; the optimizer's kernels are not
// looked at.
std::vector<KernelErrors> kernel_errors(const Scenario& scenario,
                                        const PhaseResult& main,
                                        const std::vector<ErrorSource>& sources) {
  const ParallelPlan& plan = main.phase.plan;
  const CostModel model(scenario.profile, scenario.cluster.gpu);
  const ChunkShape shape = chunk_shape(scenario.model, plan, main.phase.seq_len);
  const SmShare share{scenario.cluster.gpu.num_sms - plan.comm_sms, plan.comm_sms > 0};
  std::array<std::size_t, kNumKernels> source_of{};
  for (std::size_t i = 0; i < sources.size(); ++i)
    for (const Kernel kernel : sources[i].kernels) source_of[static_cast<std::size_t>(kernel)] = i;
  std::vector<KernelErrors> errors(sources.size());
  for (const auto& stage : stage_layers(plan, scenario.model))
    for (const LayerKind layer : stage)
      for (const OpList& ops :
           build_layer_ops(scenario.model, layer, shape, main.step.mean_load).blocks)
        for (const Op& op : ops) {
          const auto kernel = static_cast<std::size_t>(judged_as(model.profile(), op.kernel));
          const Cost cost = model.cost(op, share);
          KernelErrors& e = errors[source_of[kernel]];
          e.time += cost.time;
          e.slow_time += std::exp(cost.log_error) * cost.time;
          add_basis(
              e.bases,
              cost.origin == Origin::roofline ? "roofline" : model.profile().error[kernel].basis);
        }
  return errors;
}

std::string joined(std::vector<std::string> words) {
  std::sort(words.begin(), words.end());
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace

Interval combined(double value, const EndValues& ends) {
  double up = 0, down = 0;
  for (const auto& [fast, slow] : ends) {
    const double high = std::max({value, fast, slow}) - value,
                 low = value - std::min({value, fast, slow});
    up += high * high;
    down += low * low;
  }
  return {value - std::sqrt(down), value + std::sqrt(up)};
}

std::string uncertainty_refusal(const RunResult& run) {
  const PhaseResult& main = run.phases.front();
  if (main.phase.stated_gpu_hours || !main.refusal.empty()) return "";
  const std::uint64_t folds =
      main.step.folded ? 1 : static_cast<std::uint64_t>(main.phase.plan.ranks_per_stage());
  const std::uint64_t events = main.step.num_events / folds;
  return events <= kMostFoldedEvents
             ? ""
             : "no intervals: " + std::to_string(events) + " events in a folded step, more than " +
                   std::to_string(kMostFoldedEvents) +
                   " are not simulated for every source of error; give the phase a smaller batch "
                   "to see how sure its step is";
}

std::vector<ErrorSource> error_sources(const Scenario& scenario) {
  return error_sources(transferred(scenario.profile, scenario.cluster.gpu));
}

Scenario perturbed(const Scenario& scenario, const ErrorSource& source, double sign) {
  Scenario moved = scenario;
  moved.profile = perturbed(transferred(scenario.profile, scenario.cluster.gpu), source, sign);
  return moved;
}

std::optional<Uncertainty> uncertainty_of(const Scenario& scenario,
                                          const RunResult& run,
                                          int num_threads) {
  const PhaseResult& main = run.phases.front();
  if (main.phase.stated_gpu_hours || !main.refusal.empty() || !uncertainty_refusal(run).empty())
    return std::nullopt;
  const std::vector<ErrorSource> sources = error_sources(scenario);
  const Repeated repeated(scenario, main, num_threads);
  const PhaseResult base = repeated.under(scenario);
  const RunResult bare = without_timelines(run);
  Uncertainty result;
  result.from_balanced = repeated.from_balanced();
  result.ends.resize(sources.size());
  parallel_for(sources.size() * kSigns.size(), num_threads, [&](std::size_t i) {
    const std::size_t source = i / kSigns.size(), end = i % kSigns.size();
    const Scenario moved = perturbed(scenario, sources[source], kSigns[end]);
    result.ends[source][end] = moved_run(scenario, bare, base, repeated.under(moved));
  });

  const Profile profile = transferred(scenario.profile, scenario.cluster.gpu);
  const std::vector<KernelErrors> kernels = kernel_errors(scenario, main, sources);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    SourceEffect effect;
    effect.source = sources[i].name;
    if (sources[i].kernels.empty()) {
      effect.half_width = error_of(profile, sources[i]).inside;
      effect.basis = error_of(profile, sources[i]).basis;
    } else {
      if (kernels[i].bases.empty()) continue;  // no operation of this run
      if (kernels[i].time > Seconds())
        effect.half_width = kernels[i].slow_time / kernels[i].time - 1;
      effect.basis = joined(kernels[i].bases);
    }
    effect.faster = result.ends[i][0].phases.front().step_time - main.step_time;
    effect.slower = result.ends[i][1].phases.front().step_time - main.step_time;
    result.effects.push_back(std::move(effect));
  }
  const auto size = [](const SourceEffect& e) {
    return std::max(std::abs(e.faster.in(s)), std::abs(e.slower.in(s)));
  };
  std::stable_sort(result.effects.begin(),
                   result.effects.end(),
                   [&](const SourceEffect& a, const SourceEffect& b) { return size(a) > size(b); });
  return result;
}

Interval interval_of(const RunResult& run,
                     const Uncertainty& uncertainty,
                     const std::function<double(const RunResult&)>& number) {
  EndValues ends;
  for (const auto& [fast, slow] : uncertainty.ends) ends.push_back({number(fast), number(slow)});
  const Interval interval = combined(number(run), ends);
  return {std::max(0.0, interval.low), interval.high};
}

}  // namespace moesim
