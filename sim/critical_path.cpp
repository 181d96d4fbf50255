#include "sim/critical_path.hpp"

#include <algorithm>
#include <map>

#include "model/errors.hpp"

namespace moesim {

std::uint32_t OperationLog::last_of(std::uint32_t rank) const {
  for (std::size_t i = ops_.size(); i-- > 0;)
    if (ops_[i].rank == rank && ops_[i].stream == StreamKind::compute)
      return static_cast<std::uint32_t>(i);
  throw std::logic_error("a rank without operations");
}

std::vector<LoggedOp> OperationLog::path_to(std::uint32_t id) const {
  std::vector<LoggedOp> path;
  for (; id != kBeginning; id = ops_[id].cause) path.push_back(ops_[id]);
  std::reverse(path.begin(), path.end());
  return path;
}

namespace {

// Why the path goes on with `op` after `before`.
std::string reason_for(const PathOp& before, const PathOp& op) {
  if (op.pp != before.pp)
    return before.kind + " of pp rank " + std::to_string(before.pp) + " arrived";
  if (op.rank != before.rank)
    return "the last peer of the expert-parallel group, rank " + std::to_string(before.rank) +
           ", arrived";
  return "next in the rank's schedule";
}

}  // namespace

CriticalPath critical_path(const std::vector<PathOp>& ops, Tick step) {
  CriticalPath path;
  std::map<std::string, Tick> time_of;
  Tick at = 0;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const PathOp& op = ops[i];
    ENSURE(op.start == at);  // no gaps
    at = op.end;
    time_of[op.kind] += op.end - op.start;
    const bool same = !path.segments.empty() && path.segments.back().pp == op.pp &&
                      path.segments.back().phase == op.phase;
    if (!same) {
      PathSegment segment;
      segment.pp = op.pp;
      segment.phase = op.phase;
      segment.start = op.start;
      segment.first_microbatch = segment.last_microbatch = op.microbatch;
      segment.reason = i == 0 ? "the step begins" : reason_for(ops[i - 1], op);
      path.segments.push_back(std::move(segment));
    }
    PathSegment& segment = path.segments.back();
    segment.end = op.end;
    segment.first_microbatch = std::min(segment.first_microbatch, op.microbatch);
    segment.last_microbatch = std::max(segment.last_microbatch, op.microbatch);
    ++segment.num_operations;
    if (op.stream == StreamKind::communication) segment.communication += op.end - op.start;
  }
  if (at < step) {
    PathSegment last;
    last.pp = ops.empty() ? 0 : ops.back().pp;
    last.phase = SchedulePhase::optimizer;
    last.start = at;
    last.end = step;
    last.num_operations = 1;
    last.reason = "the last chunk of the ranks that share parameters is done";
    path.segments.push_back(std::move(last));
    time_of["gradients and optimizer"] += step - at;
  }
  for (const auto& [kind, time] : time_of) path.shares.push_back({kind, time});
  std::stable_sort(path.shares.begin(), path.shares.end(), [](const auto& a, const auto& b) {
    return a.time > b.time;
  });
  return path;
}

}  // namespace moesim
