// Pipeline schedules. A schedule decides order, never duration: for each pipeline rank it returns
// the ordered list of steps. To add one: its file in this folder and its line in the table in
// schedule.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "model/parallel_plan.hpp"

namespace moesim {

enum class StepKind : std::uint8_t {
  forward,           // F
  backward,          // input and weight gradients
  backward_input,    // input gradient only; the weight gradient waits for a weight step
  weight,            // W of the oldest chunk that waits
  forward_backward,  // F of one chunk overlapped with the backward of another
};

// One microbatch travels in `direction` 0 (rank 0 to the last) or 1 (the other way; bidirectional
// schedules only). Microbatches are numbered from 0 in each direction.
struct Chunk {
  std::int32_t direction = 0, microbatch = 0;
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

struct ScheduleStep {
  StepKind kind = StepKind::forward;
  Chunk f;  // forward, forward_backward
  Chunk b;  // all but forward
};

struct Schedule {
  ScheduleKind kind;
  // Steps of one pipeline rank. `num_microbatches` counts both directions.
  std::vector<ScheduleStep> (*steps)(std::int64_t pp,
                                     std::int64_t rank,
                                     std::int64_t num_microbatches);
  // "" when the schedule can run them, else why not, with the numbers.
  std::string (*refusal)(std::int64_t pp, std::int64_t num_microbatches);
  std::int64_t num_directions;
};

const Schedule& schedule_of(ScheduleKind kind);

// The most that is alive at once on a rank, when a chunk of direction d holds `weight[d]` from its
// forward step until its backward is complete (until its weight step where that is separate). With
// weight 1 this counts chunks: pp - rank for 1F1B, at most pp + 1 for DualPipe, as published.
double peak_alive(const std::vector<ScheduleStep>& steps, const std::array<double, 2>& weight);

// The published bubble of each schedule for equal stages (DualPipe repository, README, "Pipeline
// Bubbles and Memory Usage"). f, b, w: seconds of a forward chunk, a full backward (input and
// weight), a weight gradient; fb: of an overlapped pair.
double one_f_one_b_bubble(std::int64_t pp, double f, double b);
double zb1p_bubble(std::int64_t pp, double f, double b, double w);
double dualpipe_bubble(std::int64_t pp, double fb, double b, double w);

// What the step lists themselves give: the idle time of a rank until the last rank ends, mean over
// ranks, with equal stages, no communication and chunks of the given durations. b_input: an input
// gradient alone (b - w).
struct ChunkDurations {
  double f = 0, b = 0, w = 0, fb = 0;
};
double list_bubble(const Schedule& schedule,
                   std::int64_t pp,
                   std::int64_t num_microbatches,
                   const ChunkDurations& durations);

// The stage a chunk finds on a rank.
std::int64_t stage_of(std::int64_t pp, std::int64_t rank, std::int32_t direction);

}  // namespace moesim
