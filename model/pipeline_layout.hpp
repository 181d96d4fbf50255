// Which pipeline schedules there are, and where each puts the stages of the model.
//
// A pipeline rank holds one or more `parts`; a microbatch passes the stages in order, whichever
// ranks hold them:
//   loop           stage = part x pp + rank: one part a rank (GPipe, 1F1B, zero bubble), or several
//                  (interleaved 1F1B; Narayanan et al., SC'21, section 2.2)
//   v              part 0 holds stage `rank`, part 1 holds stage 2 pp - 1 - rank: down and up again
//                  (ZB-V, Qi et al. 2024, section 3; DualPipeV)
//   bidirectional  part 0 holds stage `rank`, part 1 holds stage pp - 1 - rank, so that each of the
//                  pp stages is held twice and half of the microbatches travel either way
//                  (DualPipe)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moesim {

enum class ScheduleKind {
  gpipe,
  one_f_one_b,
  interleaved_1f1b,
  zb_h1,
  zb_h2,
  zb_v,
  dualpipe,
  dualpipe_v,
  overlapped_pair
};

enum class StageOrder { loop, v, bidirectional };

// Whether a forward chunk runs beside a backward chunk on the same rank.
enum class Overlap {
  never,       // it has no steady pairs of one forward and one backward
  on_request,  // when the plan asks for it (overlap_expert_comm)
  by_itself    // the pairs are what the schedule is made of
};

// What a plan has to know of a schedule; its steps are in sim/schedule.
struct ScheduleTraits {
  ScheduleKind kind;
  const char* name;  // as files write it
  StageOrder order;
  Overlap overlap;
};
const std::vector<ScheduleTraits>& all_schedules();
const ScheduleTraits& traits_of(ScheduleKind kind);
const char* schedule_name(ScheduleKind kind);

struct PipelineLayout {
  StageOrder order = StageOrder::loop;
  std::int64_t pp = 1, num_parts = 1;

  std::int64_t num_stages() const {
    return order == StageOrder::bidirectional ? pp : pp * num_parts;
  }
  // A stage that two ranks hold is trained by both: their gradients are added up.
  std::int64_t copies() const { return order == StageOrder::bidirectional && pp > 1 ? 2 : 1; }
  std::int64_t stage_of(std::int64_t rank, std::int64_t part) const;
  // Stages of a rank, one a part; a single rank of a bidirectional pipeline holds its stage once.
  std::vector<std::int64_t> stages_of(std::int64_t rank) const;

  struct Place {
    std::int64_t rank = 0, part = 0;
    friend bool operator==(const Place&, const Place&) = default;
  };
  // Where a chunk goes after (or was before) this place; nothing at the ends of the model.
  std::optional<Place> next(const Place& at) const { return neighbour(at, +1); }
  std::optional<Place> previous(const Place& at) const { return neighbour(at, -1); }
  Place place_of(std::int64_t stage, std::int64_t part_of_chunk) const;

 private:
  std::optional<Place> neighbour(const Place& at, std::int64_t distance) const;
};

// `virtual_stages`: parts a rank, for interleaved 1F1B; the other schedules know theirs.
PipelineLayout pipeline_layout(ScheduleKind kind, std::int64_t pp, std::int64_t virtual_stages);

}  // namespace moesim
