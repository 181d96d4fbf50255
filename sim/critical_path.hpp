// Why a step takes as long as it does: the chain of operations, each of which started the moment
// the one before it ended, from the beginning of the step to its end.
//
// An operation starts while the end of another one is handled: that one is its cause, whether it
// freed the stream, delivered a message, or was what the last peer of a collective had waited for.
// Walking the causes back from the last chunk's end therefore leaves no gaps: the durations of the
// path add up to the step, to the tick (tests/unit/test_critical_path.cpp). Where two chains are
// equally long, the one whose last event was handled later is shown.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/timeline.hpp"

namespace moesim {

struct LoggedOp {
  Tick start = 0, end = 0;
  std::uint32_t rank = 0;  // simulated
  std::uint32_t step = 0;  // of the rank's list
  std::uint16_t op = 0;    // of the step's stream
  StreamKind stream = StreamKind::compute;
  std::uint32_t cause = 0;
};

class OperationLog {
 public:
  static constexpr std::uint32_t kBeginning = ~std::uint32_t{0};  // the start of the step

  std::uint32_t begin(LoggedOp op) {
    op.cause = last_ended_;
    ops_.push_back(op);
    return static_cast<std::uint32_t>(ops_.size() - 1);
  }
  void end(std::uint32_t id, Tick now) {
    ops_[id].end = now;
    last_ended_ = id;
  }
  // The last operation of a rank's compute stream that ended.
  std::uint32_t last_of(std::uint32_t rank) const;
  // First to last.
  std::vector<LoggedOp> path_to(std::uint32_t id) const;

 private:
  std::vector<LoggedOp> ops_;
  std::uint32_t last_ended_ = kBeginning;
};

// One operation of the path with its names.
struct PathOp {
  std::int64_t rank = 0, pp = 0;
  SchedulePhase phase = SchedulePhase::forward;
  StreamKind stream = StreamKind::compute;
  std::string kind;  // "mlp(F)", "dispatch(F)", "PP(B)"
  std::int32_t microbatch = 0;
  Tick start = 0, end = 0;
};

// A stretch of the path on one pipeline rank in one phase of its schedule.
struct PathSegment {
  std::int64_t pp = 0;
  SchedulePhase phase = SchedulePhase::forward;
  Tick start = 0, end = 0;
  std::int32_t first_microbatch = 0, last_microbatch = 0;
  std::int64_t num_operations = 0;
  Tick communication = 0;  // of it, on the communication stream
  std::string reason;      // what the path waited for when it came here
};
struct CriticalPath {
  struct Share {
    std::string kind;
    Tick time = 0;
  };
  std::vector<PathSegment> segments;  // in order of time
  std::vector<Share> shares;          // by kind of operation, largest first; sums to the step
};

CriticalPath critical_path(const std::vector<PathOp>& ops, Tick step);

}  // namespace moesim
