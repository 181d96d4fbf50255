// Sources whose requests have times of their own, or users who wait for answers.

#include <functional>
#include <queue>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/errors.hpp"
#include "model/serving/arrival_process.hpp"
#include "model/serving/request_bodies.hpp"
#include "model/serving/request_spec.hpp"
#include "model/serving/session_source.hpp"

namespace moesim {
namespace {

constexpr std::uint64_t kThinkStream = 0xa229;
// With a limit that hardly any length meets, looking on would not end.
constexpr std::int64_t kMaxMisses = 1'000'000;

using Found = RequestBodies::Found;

Tick end_of(const RequestSpec& spec) {
  return spec.duration ? to_tick(*spec.duration) : kLastArrival;
}

[[noreturn]] void refuse_misses() {
  throw InputError("requests",
                   "a million requests in a row are longer than max_context_tokens; nothing is "
                   "left to serve");
}

// An arrival process, and bodies in their order.
class OpenSource final : public RequestSource {
 public:
  OpenSource(const RequestSpec& spec, std::uint64_t seed)
      : process_(*spec.arrivals, seed), bodies_(spec, seed), end_(end_of(spec)) {
    advance();
  }
  std::optional<Tick> next_arrival() override {
    return has_next_ ? std::optional(next_.arrival) : std::nullopt;
  }
  Request take() override {
    ENSURE(has_next_);
    const Request taken = next_;
    advance();
    return taken;
  }
  RequestCounts counts() const override { return bodies_.counts(); }
  std::int64_t block_tokens() const override { return bodies_.block_tokens(); }

 private:
  void advance() {
    has_next_ = false;
    for (std::int64_t misses = 0;; ++misses) {
      const Tick arrival = process_.next();
      if (arrival >= end_) return;
      const Found found = bodies_.next(next_);
      if (found == Found::nothing) return;
      if (found == Found::request) {
        next_.arrival = arrival;
        has_next_ = true;
        return;
      }
      if (misses == kMaxMisses) refuse_misses();
    }
  }

  ArrivalProcess process_;
  RequestBodies bodies_;
  Tick end_;
  Request next_;
  bool has_next_ = false;
};

// A fixed number of users.
class ClosedSource final : public RequestSource {
 public:
  ClosedSource(const RequestSpec& spec, std::uint64_t seed)
      : bodies_(spec, seed),
        think_random_(seed, kThinkStream),
        think_ticks_(spec.arrivals->think_time.in(ps)),
        end_(end_of(spec)) {
    for (std::int64_t i = 0; i < spec.arrivals->concurrency; ++i) ready_.push(0);
    advance();
  }
  std::optional<Tick> next_arrival() override {
    return has_next_ && !ready_.empty() ? std::optional(ready_.top()) : std::nullopt;
  }
  Request take() override {
    ENSURE(has_next_ && !ready_.empty());
    Request taken = next_;
    taken.arrival = ready_.top();
    ready_.pop();
    advance();
    return taken;
  }
  void finished(const Request&, Tick when) override {
    const double think =
        think_ticks_ > 0 ? think_ticks_ * -std::log(think_random_.uniform()) : 0;
    if (think < static_cast<double>(end_ - when)) ready_.push(when + static_cast<Tick>(think));
  }
  RequestCounts counts() const override { return bodies_.counts(); }
  std::int64_t block_tokens() const override { return bodies_.block_tokens(); }

 private:
  // What is asked next, whoever asks.
  void advance() {
    Found found = Found::left_out;
    for (std::int64_t misses = 0; found == Found::left_out; ++misses) {
      if (misses == kMaxMisses) refuse_misses();
      found = bodies_.next(next_);
    }
    has_next_ = found == Found::request;
  }

  RequestBodies bodies_;
  Random think_random_;
  double think_ticks_;
  Tick end_;
  std::priority_queue<Tick, std::vector<Tick>, std::greater<>> ready_;  // of users
  Request next_;
  bool has_next_ = false;
};

// A trace at its own times. Rows that wait for an answer join those with times of their own.
class TraceSource final : public RequestSource {
 public:
  TraceSource(const RequestSpec& spec, std::uint64_t seed)
      : bodies_(spec, seed), trace_(*bodies_.trace()), end_(end_of(spec)) {
    advance();
  }
  std::optional<Tick> next_arrival() override {
    if (!has_next_ || (!waiting_.empty() && waiting_.top().request.arrival < next_.arrival)) {
      return waiting_.empty() ? std::nullopt : std::optional(waiting_.top().request.arrival);
    }
    return next_.arrival;
  }
  Request take() override {
    if (!has_next_ || (!waiting_.empty() && waiting_.top().request.arrival < next_.arrival)) {
      ENSURE(!waiting_.empty());
      const Turn turn = waiting_.top();
      waiting_.pop();
      remember(turn.request, turn.index, turn.repetition);
      return turn.request;
    }
    const Request taken = next_;
    remember(taken, next_index_, next_repetition_);
    advance();
    return taken;
  }
  void finished(const Request& request, Tick when) override {
    if (followed_.empty()) return;
    const auto found = followed_.find(request.id);
    if (found == followed_.end()) return;
    const Place place = found->second;
    followed_.erase(found);
    release(place.first, place.second, when);
  }
  RequestCounts counts() const override { return bodies_.counts(); }
  std::int64_t block_tokens() const override { return bodies_.block_tokens(); }

 private:
  using Place = std::pair<std::int64_t, std::int64_t>;  // row, repetition
  struct Turn {
    Request request;
    std::int64_t index = 0, repetition = 0;
    bool operator<(const Turn& other) const {  // the earliest on top of the heap
      return std::pair(request.arrival, request.id) >
             std::pair(other.request.arrival, other.request.id);
    }
  };

  void remember(const Request& request, std::int64_t index, std::int64_t repetition) {
    const std::int64_t turn = trace_.rows()[static_cast<std::size_t>(index)].next_turn;
    if (turn >= 0) followed_[request.id] = {turn, repetition};
  }

  // The turn at `index` is due its delay after `when`; one that is left out hands on to the next.
  void release(std::int64_t index, std::int64_t repetition, Tick when) {
    while (index >= 0) {
      const PlayedTrace::Row& row = trace_.rows()[static_cast<std::size_t>(index)];
      when = later(when, row.row.arrival);
      Request request;
      if (when >= end_) return;
      const Found found = bodies_.row(index, repetition, request);
      if (found == Found::nothing) return;
      if (found == Found::request) {
        request.arrival = when;
        waiting_.push({request, index, repetition});
        return;
      }
      index = row.next_turn;
    }
  }

  void advance() {
    has_next_ = false;
    for (;;) {
      if (at_ == trace_.num_timed()) {
        at_ = 0;
        ++repetition_;
      }
      if (repetition_ >= trace_.repetitions()) return;
      const PlayedTrace::Row& row = trace_.rows()[static_cast<std::size_t>(at_)];
      // Before it is multiplied out: a repetition past the end of time has no arrival.
      const bool is_past = row.row.arrival >= end_ ||
                           (repetition_ > 0 &&
                            trace_.period() >= (end_ - row.row.arrival + repetition_ - 1) / repetition_);
      if (is_past) {
        repetition_ = trace_.repetitions();
        return;
      }
      const Tick arrival = row.row.arrival + repetition_ * trace_.period();
      next_index_ = at_++;
      next_repetition_ = repetition_;
      const Found found = bodies_.row(next_index_, repetition_, next_);
      if (found == Found::nothing) return;
      if (found == Found::request) {
        next_.arrival = arrival;
        has_next_ = true;
        return;
      }
      release(row.next_turn, repetition_, arrival);
    }
  }

  RequestBodies bodies_;
  PlayedTrace& trace_;
  Tick end_;
  std::int64_t at_ = 0, repetition_ = 0;
  Request next_;
  std::int64_t next_index_ = 0, next_repetition_ = 0;
  bool has_next_ = false;
  std::priority_queue<Turn> waiting_;
  std::unordered_map<std::int64_t, Place> followed_;  // by the id of the request waited for
};

}  // namespace

bool waits_for_answers(const RequestSpec& spec) {
  const bool by_process = spec.arrivals && (spec.arrivals->kind == ArrivalKind::closed_loop ||
                                                spec.arrivals->kind == ArrivalKind::sessions);
  return by_process || (spec.trace && spec.trace->trace->has_waits);
}

std::unique_ptr<RequestSource> make_source(const RequestSpec& spec, std::uint64_t seed) {
  ENSURE(spec.arrivals || spec.trace);
  if (!spec.arrivals) return std::make_unique<TraceSource>(spec, seed);
  if (spec.arrivals->kind == ArrivalKind::sessions) return make_session_source(spec, seed);
  if (spec.arrivals->kind == ArrivalKind::closed_loop) {
    return std::make_unique<ClosedSource>(spec, seed);
  }
  return std::make_unique<OpenSource>(spec, seed);
}

}  // namespace moesim
