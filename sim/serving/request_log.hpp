// What became of each request: its clocks. Metrics are made of these and of nothing else.
#pragma once

#include <cstdint>

#include "model/serving/request.hpp"

namespace moesim {

enum class Outcome : std::uint8_t {
  served,
  rejected_context,  // longer than the engine takes
  rejected_memory,   // more KV pages than a rank has
  rejected_queue,    // too many were waiting
  lost,              // its unit failed and nobody could take it over
};

struct RequestRecord {
  Request request;  // `blocks` is not kept
  Outcome outcome = Outcome::served;
  Tick scheduled = 0;    // first token of the prompt computed from here on; queue time ends
  Tick first_token = 0;  // end of the step that made it
  Tick finished = 0;     // end of the step that made the last one, or when it was rejected
  std::int32_t cached_tokens = 0;  // of the prompt, found in HBM or a tier when first scheduled
  std::int32_t preemptions = 0;
  std::int16_t prefill_unit = -1, decode_unit = -1;  // equal in a colocated pool
};

// Time between two tokens of a request, as a streaming client sees it: tokens accepted in one step
// arrive together, the first of them after `gap`, the others after 0 (vLLM's ITL).
class RequestLog {
 public:
  virtual ~RequestLog() = default;
  // A request was taken from its source, before anything else is said of it; in order of arrival.
  virtual void arrived(const Request& request) { (void)request; }
  // It left, served or not; in order of `finished`.
  virtual void finished(const RequestRecord& record) = 0;
  // `count` gaps of `gap` each, seen in a step that ended at `when`.
  virtual void token_gaps(Tick when, Tick gap, std::int64_t count) = 0;
};

}  // namespace moesim
