// Discrete events in order of (time, insertion). Ties are broken by insertion order, so a run is
// the same everywhere. No clock of its own beyond the last event taken, no singletons, no
// callbacks: an event is a small plain struct.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "model/errors.hpp"
#include "model/units.hpp"

namespace moesim {

template <class Event>
class EventQueue {
 public:
  void at(Tick when, const Event& event) {
    ENSURE(when >= now_);  // an event in the past is our mistake
    heap_.push_back({when, next_seq_++, event});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  bool empty() const { return heap_.empty(); }
  // When the earliest event is due.
  std::optional<Tick> next() const {
    if (heap_.empty()) return std::nullopt;
    return heap_.front().when;
  }
  Tick now() const { return now_; }
  std::uint64_t num_scheduled() const { return next_seq_; }

  // Removes and returns the earliest event and moves `now` to it.
  Event pop() {
    ENSURE(!heap_.empty());
    std::pop_heap(heap_.begin(), heap_.end(), later);
    now_ = heap_.back().when;
    const Event event = heap_.back().event;
    heap_.pop_back();
    return event;
  }

 private:
  struct Entry {
    Tick when;
    std::uint64_t seq;
    Event event;
  };
  static bool later(const Entry& a, const Entry& b) {
    return a.when != b.when ? a.when > b.when : a.seq > b.seq;
  }

  std::vector<Entry> heap_;
  Tick now_ = 0;
  std::uint64_t next_seq_ = 0;
};

}  // namespace moesim
