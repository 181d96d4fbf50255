// A trace as it is played: its window, at its scale, copied, spread and repeated (TraceUse in
// request_spec.hpp).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/serving/request_spec.hpp"
#include "model/serving/trace_file.hpp"

namespace moesim {

class PlayedTrace {
 public:
  PlayedTrace(const TraceUse& use, std::uint64_t seed);

  struct Row {
    TraceRow row;  // `arrival` since the start of the window, scaled
    std::int64_t copy = 0;
    std::int64_t next_turn = -1;  // index of the row that waits for this one
  };
  // One repetition, in order of arrival; rows that wait stand behind all that do not.
  const std::vector<Row>& rows() const { return rows_; }
  std::int64_t num_timed() const { return num_timed_; }
  std::int64_t repetitions() const { return use_.repeat; }
  Tick period() const { return period_; }  // from one repetition to the next
  std::int64_t outside_window() const { return outside_window_; }  // of one repetition

  // A row in a repetition: everything but its arrival. Blocks live as long as this does.
  Request request(std::int64_t index, std::int64_t repetition);

 private:
  void make_copies(std::uint64_t seed);
  void spread(std::uint64_t seed);
  void link_turns();
  // Blocks of the trace with identities of their own.
  const std::uint32_t* blocks(std::int64_t population);

  TraceUse use_;
  std::vector<Row> rows_;
  std::int64_t num_timed_ = 0, outside_window_ = 0, num_copies_ = 1;
  Tick period_ = 0;
  std::vector<std::unique_ptr<std::uint32_t[]>> populations_;  // from the second on
};

}  // namespace moesim
