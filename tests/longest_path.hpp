// The shortest time in which the step lists of a schedule can run: the longest path through each
// rank's order and through the messages between stages, which take no time. Written apart from the
// simulator, as a second way to its numbers.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "sim/schedule/schedule.hpp"

namespace moesim {

// Duration of a step whose forward chunk meets stage `f_stage` and whose backward chunk `b_stage`
// (-1: none), in whatever unit the caller counts.
using StepDuration =
    std::function<std::int64_t(StepKind, std::int64_t f_stage, std::int64_t b_stage)>;
// How long before the end of a backward step its message leaves (weight gradients may follow it).
using MessageLead = std::function<std::int64_t(StepKind, std::int64_t b_stage)>;

struct LongestPath {
  std::int64_t makespan = 0;
  std::vector<std::int64_t> work;        // [pp] sum of the durations of a rank's steps
  std::vector<std::int64_t> start, end;  // [pp] of its first step and of its last
};

class LongestPathSolver {
 public:
  LongestPathSolver(ScheduleKind kind,
                    const PipelineRun& run,
                    StepDuration duration,
                    MessageLead lead = nullptr)
      : run_(run),
        layout_(pipeline_layout(kind, run.pp, run.virtual_stages)),
        duration_(std::move(duration)),
        lead_(std::move(lead)) {
    for (std::int64_t rank = 0; rank < run.pp; ++rank) {
      lists_.push_back(schedule_of(kind).steps(run, rank));
      ends_.emplace_back(lists_.back().size(), kUnknown);
      for (std::size_t i = 0; i < lists_.back().size(); ++i) {
        const ScheduleStep& step = lists_.back()[i];
        if (has_forward(step)) place(true, step.f, rank, i);
        if (has_backward(step)) place(false, step.b, rank, i);
      }
    }
  }

  LongestPath solve() {
    LongestPath path;
    for (std::int64_t rank = 0; rank < run_.pp; ++rank) {
      const auto r = static_cast<std::size_t>(rank);
      path.work.push_back(0);
      for (const ScheduleStep& step : lists_[r]) path.work.back() += length(rank, step);
      path.start.push_back(lists_[r].empty() ? 0
                                             : end_of(rank, 0) - length(rank, lists_[r].front()));
      // Asked in order, so that no chain of questions grows deep.
      path.end.push_back(lists_[r].empty() ? 0 : end_of(rank, lists_[r].size() - 1));
      path.makespan = std::max(path.makespan, path.end.back());
    }
    return path;
  }

 private:
  static constexpr std::int64_t kUnknown = -1, kAsked = -2;
  using Key = std::tuple<bool, std::int64_t, std::int64_t>;  // forward?, microbatch, stage

  static bool has_forward(const ScheduleStep& step) {
    return step.kind == StepKind::forward || step.kind == StepKind::forward_backward;
  }
  static bool has_backward(const ScheduleStep& step) {
    return step.kind != StepKind::forward && step.kind != StepKind::weight;
  }
  void place(bool forward, const Chunk& c, std::int64_t rank, std::size_t i) {
    const Key key{forward, microbatch_index(run_, layout_.order, c), stage_of(rank, c)};
    if (!places_.emplace(key, std::make_pair(rank, i)).second)
      throw std::logic_error("a chunk meets a stage twice");
  }
  std::int64_t stage_of(std::int64_t rank, const Chunk& c) const {
    return layout_.stage_of(rank, c.part);
  }
  std::int64_t length(std::int64_t rank, const ScheduleStep& step) const {
    const bool f = has_forward(step), b = step.kind != StepKind::forward;
    return duration_(step.kind, f ? stage_of(rank, step.f) : -1, b ? stage_of(rank, step.b) : -1);
  }
  std::int64_t chunk_end(bool forward, const Chunk& c, std::int64_t stage) {
    if (stage < 0 || stage >= layout_.num_stages()) return 0;
    const auto [rank, i] = places_.at({forward, microbatch_index(run_, layout_.order, c), stage});
    const StepKind kind = lists_[static_cast<std::size_t>(rank)][i].kind;
    return end_of(rank, i) - (lead_ && !forward ? lead_(kind, stage) : 0);
  }
  std::int64_t end_of(std::int64_t rank, std::size_t i) {
    std::int64_t& end = ends_[static_cast<std::size_t>(rank)][i];
    if (end == kAsked) throw std::logic_error("the lists wait for each other");
    if (end != kUnknown) return end;
    end = kAsked;
    const ScheduleStep& step = lists_[static_cast<std::size_t>(rank)][i];
    std::int64_t start = i == 0 ? 0 : end_of(rank, i - 1);
    if (has_forward(step)) {
      const std::int64_t stage = stage_of(rank, step.f);
      start = std::max(start, chunk_end(true, step.f, stage - 1));
    }
    if (has_backward(step)) {
      const std::int64_t stage = stage_of(rank, step.b);
      start = std::max(start, chunk_end(true, step.b, stage));
      start = std::max(start, chunk_end(false, step.b, stage + 1));
    }
    return end = start + length(rank, step);
  }

  PipelineRun run_;
  PipelineLayout layout_;
  StepDuration duration_;
  MessageLead lead_;
  std::vector<std::vector<ScheduleStep>> lists_;
  std::vector<std::vector<std::int64_t>> ends_;
  std::map<Key, std::pair<std::int64_t, std::size_t>> places_;
};

}  // namespace moesim
