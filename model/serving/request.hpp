// One request, and where requests come from. A source hands them out in order of arrival, one at a
// time, so that a day of a hundred million needs no memory; requests that depend on others (closed
// loop, sessions) arrive when those are done.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "model/units.hpp"

namespace moesim {

struct Request {
  Tick arrival = 0;
  std::int64_t id = 0;  // row of the trace, or running number of a generator, from 0
  std::int32_t input_tokens = 0, output_tokens = 0;  // both at least 1
  std::int32_t priority = 0;                         // lower is served first
  std::int32_t slo_class = 0;                        // index into RequestSpec's classes
  std::int64_t session = -1;                         // turns of one session share it; -1: none
  // Leading input tokens that are cached whatever was served before (a stated hit rate); with
  // blocks this is 0 and the prefix cache decides.
  std::int32_t stated_cached_tokens = 0;
  // Identities of the input's blocks in order: equal identity means equal tokens and equal
  // predecessors. The last block may be partly filled. Valid until finished() was called for the
  // request (a session grows its list for the next turn).
  std::span<const std::uint32_t> blocks;
};

// What a source left out or changed, for the report: never silent. Handed out are
// read - outside_window - zero_dropped - too_long.
struct RequestCounts {
  std::int64_t read = 0;  // rows of a trace, its copies and repetitions included, or drawn
  std::int64_t outside_window = 0;
  std::int64_t zero_dropped = 0;  // without input or output tokens: left out
  std::int64_t zero_to_one = 0;   // the same, served with one token instead
  std::int64_t too_long = 0;      // left out; of sessions: turns not asked
  std::int64_t truncated = 0;     // their input was cut
};

class RequestSource {
 public:
  virtual ~RequestSource() = default;
  // Arrival of the next request, nothing when there is none now: at the end, or until one of those
  // running is done. Never before the time given to `finished`.
  virtual std::optional<Tick> next_arrival() = 0;
  virtual Request take() = 0;  // that request
  // A request has left, served or rejected, at `when`: may cause arrivals at or after it. Every
  // request taken has to come back here once, in order of `when`.
  virtual void finished(const Request& request, Tick when) {
    (void)request;
    (void)when;
  }
  virtual RequestCounts counts() const = 0;
  // Tokens of one of Request::blocks; 0 when requests carry none.
  virtual std::int64_t block_tokens() const { return 0; }
};

}  // namespace moesim
