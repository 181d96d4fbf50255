// From a simulated step to what people ask for: tokens per second, MFU, GPU hours, dollars, memory.
//
// MFU is always stated with its convention and its peak: model FLOPs (matrix products of the
// forward pass once and of the backward pass twice, output head counted, embedding and MTP module
// not) over the causal half or the full square of the attention scores, against the dense BF16 peak
// of the GPU ("Insights into DeepSeek-V3", ISCA'25, Table 4).
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "model/model_counts.hpp"
#include "model/training_memory.hpp"
#include "sim/memory_advice.hpp"
#include "sim/rank_memory.hpp"
#include "sim/run_times.hpp"
#include "sim/simulator.hpp"

namespace moesim {

// One named step from the datasheet peak to the achieved rate. `seconds` of the step it costs
// (negative: gains); `mfu_after` is what MFU would be if nothing below this line existed.
struct WaterfallLine {
  std::string name;
  double seconds = 0, mfu_after = 0;
};

struct PhaseResult {
  TrainingPhase phase;
  std::string refusal;             // not empty: the schedule cannot run it; nothing below is set
  std::vector<RankMemory> memory;  // [pp]
  std::vector<MemoryCurve> memory_over_time;  // [pp]
  std::vector<MemoryAdvice> memory_advice;    // where it does not fit
  bool fits = true;
  StepResult step;

  double num_steps = 0;
  Seconds step_time;
  double tokens_per_s = 0, tokens_per_s_per_gpu = 0, gpu_hours = 0;
  FlopsPerToken flops_causal, flops_non_causal;  // per token
  double flops_per_s_per_gpu_causal = 0, flops_per_s_per_gpu_non_causal = 0;
  double mfu_causal = 0, mfu_non_causal = 0;
  std::array<double, kNumCategories> category_s{};   // mean over ranks, sums to the step
  std::array<double, kNumSchedulePhases> phase_s{};  // mean over ranks
  std::array<double, kNumSchedulePhases>
      first_rank_phase_s{};                        // pipeline rank 0, mean over its ranks
  std::array<double, kNumOrigins> origin_share{};  // of compute time
  std::vector<WaterfallLine> waterfall;            // causal convention
};

struct RunResult {
  std::vector<PhaseResult>
      phases;  // as in the scenario; stated phases keep only phase and gpu_hours
  bool feasible = true;
  double gpu_hours = 0;                 // all phases
  double gpu_hours_simulated_main = 0;  // the first phase with its batch ramp
  double cost_usd = 0;
  // What interrupts the run, on top of the above, which has no interruption in it; none where the
  // scenario has no operations, or not all of its phases could be simulated.
  std::optional<OperationsResult> operations;
  std::vector<std::string> warnings;
};

// Everything derived from the step; `result.step`, `phase` and `memory` are set.
void measure(const Scenario& scenario, PhaseResult& result);
// Only what follows from the step time, which is set: steps, rates, hours, MFU.
void measure_rates(const Scenario& scenario, PhaseResult& result);

}  // namespace moesim
