// Feeds requests to one serving unit (or to anything with its functions) as a cluster of one would,
// and keeps what it says.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "sim/serving/serving_unit.hpp"

namespace moesim {

struct GapLog : RequestLog {
  std::map<std::pair<Tick, Tick>, std::int64_t> gaps;  // (when, gap) -> how many; gaps of 0 not
  std::int64_t bursts = 0;                             // gaps of 0
  void finished(const RequestRecord&) override {}
  void token_gaps(Tick when, Tick gap, std::int64_t count) override {
    (gap == 0 ? bursts : gaps[{when, gap}]) += count;
  }
};

// A step takes `each` and so much for what is in it; the batches it saw are kept.
struct AffineClock : StepClock {
  Tick each = 1000, per_prefill_token = 10, per_decode = 7;
  double per_pair = 0, per_context = 0;
  mutable std::vector<RankBatch> seen;
  bool keep = false;
  Tick step_time(std::span<const RankBatch> ranks) const override {
    Tick slowest = 0;
    for (const RankBatch& rank : ranks)
      slowest = std::max(
          slowest,
          each + per_prefill_token * rank.prefill_tokens + per_decode * rank.decode_requests +
              static_cast<Tick>(per_pair * rank.prefill_pairs) +
              static_cast<Tick>(per_context * static_cast<double>(rank.decode_context)));
    if (keep) seen.insert(seen.end(), ranks.begin(), ranks.end());
    return slowest;
  }
};

inline UnitSettings plain_settings() {
  UnitSettings settings;
  settings.engine.max_requests = 8;
  settings.engine.max_batch_tokens = 64;
  settings.engine.max_context_tokens = 1 << 20;
  settings.pages = 1000;
  settings.page_tokens = 4;
  settings.kv_per_token = 100 * B;
  return settings;
}

inline LiveRequest live(const Request& request) {
  LiveRequest live;
  live.record.request = request;
  return live;
}

// Requests in order of arrival. At equal times a step ends first, then requests arrive, then the
// next step begins. Returns what became of them, in order of id. `each` is called after each event.
template <class Unit>
std::vector<LiveRequest> serve(Unit& unit,
                               const std::vector<Request>& requests,
                               const std::function<void(const LiveRequest&)>& prefilled = {},
                               const std::function<void()>& each = {}) {
  std::vector<LiveRequest> served;
  std::size_t next = 0;
  constexpr Tick kNever = INT64_MAX;
  Tick end = kNever;
  while (next < requests.size() || end != kNever) {
    Tick now = 0;
    if (end != kNever && (next == requests.size() || end <= requests[next].arrival)) {
      now = end;
      const StepOutcome& outcome = unit.finish_step(now);
      served.insert(served.end(), outcome.finished.begin(), outcome.finished.end());
      if (prefilled)
        for (const LiveRequest& request : outcome.prefilled) prefilled(request);
      end = kNever;
    } else {
      now = requests[next].arrival;
    }
    while (next < requests.size() && requests[next].arrival <= now)
      unit.add(live(requests[next++]), now);
    if (end == kNever) end = unit.start_step(now).value_or(kNever);
    if (each) each();
  }
  std::sort(served.begin(), served.end(), [](const LiveRequest& a, const LiveRequest& b) {
    return a.record.request.id < b.record.request.id;
  });
  return served;
}

}  // namespace moesim
