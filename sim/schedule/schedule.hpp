// Pipeline schedules. A schedule decides order, never duration: for each pipeline rank it returns
// the ordered list of steps. To add one: its file in this folder, its line in the table in
// schedule.cpp, and its line in model/pipeline_layout.cpp, which says where it puts the stages.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "model/errors.hpp"
#include "model/pipeline_layout.hpp"

namespace moesim {

enum class StepKind : std::uint8_t {
  forward,           // F
  backward,          // input and weight gradients
  backward_input,    // input gradient only; the weight gradient waits for a weight step
  weight,            // W of the oldest chunk that waits
  forward_backward,  // F of one chunk overlapped with the backward of another
};

// One microbatch at one stage of a rank: the one that its `part` holds. Microbatches are numbered
// from 0; where they travel both ways (bidirectional), in each direction, which is the part.
struct Chunk {
  std::int32_t part = 0, microbatch = 0;
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

struct ScheduleStep {
  StepKind kind = StepKind::forward;
  Chunk f;  // forward, forward_backward
  Chunk b;  // all but forward
};

// What a schedule is asked for.
struct PipelineRun {
  std::int64_t pp = 1;
  std::int64_t num_microbatches = 1;  // of both directions
  std::int64_t virtual_stages = 1;    // interleaved 1F1B: parts a rank
  bool overlap = false;               // pair forward and backward steps (overlap_expert_comm)
};

struct Schedule {
  ScheduleKind kind;
  std::vector<ScheduleStep> (*steps)(const PipelineRun& run, std::int64_t rank);
  // "" when the schedule can run it, else why not, with the numbers.
  std::string (*refusal)(const PipelineRun& run);
};

const Schedule& schedule_of(ScheduleKind kind);

// How far into the step's numbering of microbatches, over both directions, a chunk is.
std::int64_t microbatch_index(const PipelineRun& run, StageOrder order, const Chunk& chunk);

// The most that is alive at once on a rank, when a chunk of part p holds `weight[p]` from its
// forward step until its backward is complete (until its weight step where that is separate). With
// weight 1 this counts chunks: pp - rank for 1F1B, at most pp + 1 for DualPipe, as published.
double peak_alive(const std::vector<ScheduleStep>& steps, const std::vector<double>& weight);

// The published bubble of each schedule for equal stages (DualPipe repository, README, "Pipeline
// Bubbles and Memory Usage"). f, b, w: seconds of a forward chunk, a full backward (input and
// weight), a weight gradient; fb: of an overlapped pair. A chunk is a microbatch at one stage: half
// a rank's work on a V, 1/v of it under interleaved 1F1B, for which 1F1B's formula holds.
double one_f_one_b_bubble(std::int64_t pp, double f, double b);     // also GPipe's
double zb1p_bubble(std::int64_t pp, double f, double b, double w);  // ZB-H1
// Between a rank's own first and last step (Qi et al., ICLR 2024, section 2, whose B is b - w).
double zb_h2_bubble(std::int64_t pp, double f, double b, double w);
// Over pp stages, which are pp / 2 ranks of DualPipeV.
double dualpipe_bubble(std::int64_t pp, double fb, double b, double w);

// What the step lists themselves give: the idle time of a rank until the last rank ends, mean over
// ranks, with equal stages, no communication and chunks of the given durations. b_input: an input
// gradient alone (b - w).
struct ChunkDurations {
  double f = 0, b = 0, w = 0, fb = 0;
};
double list_bubble(const Schedule& schedule,
                   const PipelineRun& run,
                   const ChunkDurations& durations);

}  // namespace moesim
