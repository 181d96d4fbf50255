#include "sim/metrics.hpp"

#include <algorithm>
#include <numeric>

namespace moesim {
namespace {

double in_seconds(Tick t) { return to_seconds(t).in(s); }

// The ladder from the peak down: first what the convention's FLOPs need at the peak, then each loss
// in seconds per rank.
std::vector<WaterfallLine> waterfall(const Scenario& scenario, const PhaseResult& r) {
  const ParallelPlan& plan = r.phase.plan;
  const GpuSpec& gpu = scenario.cluster.gpu;
  const double tokens_per_gpu =
      static_cast<double>(r.phase.seq_len * r.phase.batch) / static_cast<double>(plan.world());
  const double ideal = tokens_per_gpu * (r.flops_causal.training() / gpu.peak_bf16).in(s);
  std::vector<WaterfallLine> lines;
  double total = 0;
  auto add = [&](const std::string& name, double seconds) {
    total += seconds;
    lines.push_back({name, seconds, ideal / total});
  };
  auto loss = [&](Loss l) { return r.step.timeline.seconds_by_loss[static_cast<std::size_t>(l)]; };
  auto category = [&](Category c) { return r.category_s[static_cast<std::size_t>(c)]; };
  add("model FLOPs at the dense BF16 peak", ideal);
  double counted = ideal;
  if (is_fp8(plan.recipe) && gpu.peak_fp8) {
    // Attention scores and the head stay in BF16; the causal half of attention is the difference of
    // the conventions.
    const Flop bf16 =
        (r.flops_non_causal.training() - r.flops_causal.training()) +
        6.0 * static_cast<double>(scenario.model.vocab * scenario.model.hidden) * FLOP;
    counted = tokens_per_gpu *
              (bf16 / gpu.peak_bf16 + (r.flops_causal.training() - bf16) / *gpu.peak_fp8).in(s);
    add("matrix products in FP8, at twice the peak", counted - ideal);
  }
  add("work the convention leaves out (MTP module, fifth attention product)",
      loss(Loss::model_work) - counted);
  add("recomputation", loss(Loss::recompute));
  add("SMs given to communication", loss(Loss::sm_partition));
  add("forward and input-gradient GEMMs below peak", loss(Loss::gemm_efficiency));
  add("weight-gradient GEMMs below peak", loss(Loss::wgrad_efficiency));
  add("attention below peak", loss(Loss::attention_efficiency));
  add("kernels without matrix products (casts, norms, permutes)", loss(Loss::non_matrix));
  add("launch gaps", category(Category::launch_gap));
  add("exposed communication", category(Category::exposed_comm));
  add("waiting for peers", category(Category::peer_wait));
  add("pipeline bubble", category(Category::bubble));
  add("optimizer and gradients", category(Category::optimizer));
  ENSURE(std::abs(total - r.step_time.in(s)) < 1e-6 * r.step_time.in(s) + 1e-9);
  return lines;
}

}  // namespace

void measure_rates(const Scenario& scenario, PhaseResult& r) {
  const TrainingPhase& phase = r.phase;
  const auto gpus = static_cast<double>(scenario.cluster.num_gpus());
  const auto step_tokens = static_cast<double>(phase.seq_len * phase.batch);
  r.num_steps = phase.tokens / step_tokens;
  r.tokens_per_s = step_tokens / r.step_time.in(s);
  r.tokens_per_s_per_gpu = r.tokens_per_s / gpus;
  r.gpu_hours = gpus * r.num_steps * r.step_time.in(hour);
  r.flops_causal = flops_per_token(scenario.model, phase.seq_len, AttentionConvention::causal);
  r.flops_non_causal =
      flops_per_token(scenario.model, phase.seq_len, AttentionConvention::non_causal);
  r.flops_per_s_per_gpu_causal = r.tokens_per_s_per_gpu * r.flops_causal.training().in(FLOP);
  r.flops_per_s_per_gpu_non_causal =
      r.tokens_per_s_per_gpu * r.flops_non_causal.training().in(FLOP);
  r.mfu_causal = r.flops_per_s_per_gpu_causal / scenario.cluster.gpu.peak_bf16.in(FLOP_per_s);
  r.mfu_non_causal =
      r.flops_per_s_per_gpu_non_causal / scenario.cluster.gpu.peak_bf16.in(FLOP_per_s);
}

void measure(const Scenario& scenario, PhaseResult& r) {
  const TrainingPhase& phase = r.phase;
  r.step_time = to_seconds(r.step.timeline.step);
  measure_rates(scenario, r);
  const auto& ranks = r.step.timeline.ranks;
  const auto n = static_cast<double>(ranks.size());
  const double first = static_cast<double>(
      std::count_if(ranks.begin(), ranks.end(), [](const RankTimes& t) { return t.pp == 0; }));
  for (const RankTimes& t : ranks) {
    for (std::size_t c = 0; c < kNumCategories; ++c)
      r.category_s[c] += in_seconds(t.by_category[c]) / n;
    for (std::size_t p = 0; p < kNumSchedulePhases; ++p) {
      r.phase_s[p] += in_seconds(t.by_phase[p]) / n;
      if (t.pp == 0) r.first_rank_phase_s[p] += in_seconds(t.by_phase[p]) / first;
    }
  }
  const auto& origins = r.step.timeline.seconds_by_origin;
  const double total = std::accumulate(origins.begin(), origins.end(), 0.0);
  for (std::size_t i = 0; i < kNumOrigins; ++i)
    r.origin_share[i] = total > 0 ? origins[i] / total : 0;
  if (phase.plan.schedule != ScheduleKind::overlapped_pair) r.waterfall = waterfall(scenario, r);
}

}  // namespace moesim
