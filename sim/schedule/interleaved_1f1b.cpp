// Interleaved 1F1B (Narayanan et al., SC'21, section 2.2): a rank holds v = virtual_stages parts of
// the model, and microbatches pass it in groups of pp, part after part. A rank warms up with
// 2 (pp - 1 - rank) + (v - 1) pp chunks (Megatron-LM's order), then runs one forward and one
// backward in turn. Bubble (pp - 1)(F + B) / v, F and B of the whole rank. Rank 0 holds
// v pp + pp - 1 chunks of 1/v of a rank, 1 + (pp - 1)/(pp v) times 1F1B's (Korthikanti et al.
// 2022).
//
// With overlap_expert_comm the turns are pairs and a rank warms up with one chunk more, as
// Megatron-Core does: else the last rank's pair would wait for its own forward half. That is one
// more chunk alive on every rank.
#include <algorithm>

#include "sim/schedule/schedule.hpp"

namespace moesim {
namespace {

std::vector<ScheduleStep> steps(const PipelineRun& run, std::int64_t rank) {
  const std::int64_t pp = run.pp, parts = run.virtual_stages, group = pp * parts,
                     num_chunks = run.num_microbatches * parts;
  const std::int64_t warmup =
      std::min(2 * (pp - 1 - rank) + (parts - 1) * pp + (run.overlap ? 1 : 0), num_chunks);
  auto microbatch = [&](std::int64_t k) {
    return static_cast<std::int32_t>(k / group * pp + k % pp);
  };
  auto forward = [&](std::int64_t k) {
    return Chunk{static_cast<std::int32_t>(k % group / pp), microbatch(k)};
  };
  auto backward = [&](std::int64_t k) {
    return Chunk{static_cast<std::int32_t>(parts - 1 - k % group / pp), microbatch(k)};
  };
  std::vector<ScheduleStep> list;
  for (std::int64_t k = 0; k < warmup; ++k) list.push_back({StepKind::forward, forward(k), {}});
  for (std::int64_t k = warmup; k < num_chunks; ++k) {
    if (run.overlap) {
      list.push_back({StepKind::forward_backward, forward(k), backward(k - warmup)});
    } else {
      list.push_back({StepKind::forward, forward(k), {}});
      list.push_back({StepKind::backward, {}, backward(k - warmup)});
    }
  }
  for (std::int64_t k = num_chunks - warmup; k < num_chunks; ++k)
    list.push_back({StepKind::backward, {}, backward(k)});
  return list;
}

std::string refusal(const PipelineRun& run) {
  if (run.num_microbatches % run.pp != 0)
    return "interleaved 1F1B runs microbatches in groups of pp: " +
           std::to_string(run.num_microbatches) + " = " +
           std::to_string(run.num_microbatches / run.pp) + " x " + std::to_string(run.pp) + " + " +
           std::to_string(run.num_microbatches % run.pp) + "; expected a multiple of " +
           std::to_string(run.pp);
  return "";
}

}  // namespace

extern const Schedule kInterleaved1F1B;
const Schedule kInterleaved1F1B = {ScheduleKind::interleaved_1f1b, steps, refusal};

}  // namespace moesim
