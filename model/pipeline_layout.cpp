#include "model/pipeline_layout.hpp"

#include <stdexcept>

namespace moesim {

const std::vector<ScheduleTraits>& all_schedules() {
  static const std::vector<ScheduleTraits> kTable = {
      {ScheduleKind::gpipe, "gpipe", StageOrder::loop, Overlap::never},
      {ScheduleKind::one_f_one_b, "1f1b", StageOrder::loop, Overlap::on_request},
      {ScheduleKind::interleaved_1f1b, "interleaved_1f1b", StageOrder::loop, Overlap::on_request},
      {ScheduleKind::zb_h1, "zb_h1", StageOrder::loop, Overlap::never},
      {ScheduleKind::zb_h2, "zb_h2", StageOrder::loop, Overlap::never},
      {ScheduleKind::zb_v, "zb_v", StageOrder::v, Overlap::never},
      {ScheduleKind::dualpipe, "dualpipe", StageOrder::bidirectional, Overlap::by_itself},
      {ScheduleKind::dualpipe_v, "dualpipe_v", StageOrder::v, Overlap::by_itself},
      {ScheduleKind::overlapped_pair,
       "overlapped_pair",
       StageOrder::bidirectional,
       Overlap::by_itself}};
  return kTable;
}

const ScheduleTraits& traits_of(ScheduleKind kind) {
  for (const ScheduleTraits& row : all_schedules())
    if (row.kind == kind) return row;
  throw std::logic_error("schedule missing from the table");
}

const char* schedule_name(ScheduleKind kind) { return traits_of(kind).name; }

std::int64_t PipelineLayout::stage_of(std::int64_t rank, std::int64_t part) const {
  switch (order) {
    case StageOrder::loop: return part * pp + rank;
    case StageOrder::v: return part == 0 ? rank : 2 * pp - 1 - rank;
    case StageOrder::bidirectional: return part == 0 ? rank : pp - 1 - rank;
  }
  throw std::logic_error("no such order of stages");
}

std::vector<std::int64_t> PipelineLayout::stages_of(std::int64_t rank) const {
  if (order == StageOrder::bidirectional && pp == 1) return {0};
  std::vector<std::int64_t> stages;
  for (std::int64_t part = 0; part < num_parts; ++part) stages.push_back(stage_of(rank, part));
  return stages;
}

PipelineLayout::Place PipelineLayout::place_of(std::int64_t stage,
                                               std::int64_t part_of_chunk) const {
  switch (order) {
    case StageOrder::loop: return {stage % pp, stage / pp};
    case StageOrder::v: return stage < pp ? Place{stage, 0} : Place{2 * pp - 1 - stage, 1};
    case StageOrder::bidirectional:
      return {part_of_chunk == 0 ? stage : pp - 1 - stage, part_of_chunk};
  }
  throw std::logic_error("no such order of stages");
}

std::optional<PipelineLayout::Place> PipelineLayout::neighbour(const Place& at,
                                                               std::int64_t distance) const {
  const std::int64_t stage = stage_of(at.rank, at.part) + distance;
  if (stage < 0 || stage >= num_stages()) return std::nullopt;
  return place_of(stage, at.part);
}

PipelineLayout pipeline_layout(ScheduleKind kind, std::int64_t pp, std::int64_t virtual_stages) {
  const StageOrder order = traits_of(kind).order;
  const std::int64_t parts = kind == ScheduleKind::interleaved_1f1b ? virtual_stages
                             : order == StageOrder::loop            ? 1
                                                                    : 2;
  return {order, pp, parts};
}

}  // namespace moesim
