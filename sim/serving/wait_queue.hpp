// The requests that wait at one attention rank, in the order that a policy serves them.
//
//   fcfs             as they came
//   priority         lowest Request::priority first
//   shortest_prompt  fewest prompt tokens first
//   slo_aware        least slack to the deadline of the first token first. Slack shrinks equally
//                    fast for all that wait, so this is the order of the deadlines (EDF), and the
//                    order never changes while requests wait.
// Ties: as they came. A preempted request goes to the front, as in vLLM; under `priority` it waits
// with its own priority, as there.
//
// Starvation: fcfs and slo_aware (deadlines are finite, later arrivals have later ones) serve every
// request in the end. priority and shortest_prompt may pass over a request as long as better ones
// arrive faster than they are served; nothing here ages.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

#include "model/serving/serving_spec.hpp"
#include "model/units.hpp"

namespace moesim {

class WaitQueue {
 public:
  explicit WaitQueue(Policy policy) : policy_(policy) {}

  // `slot` is the caller's name for the request; `sort_key` is what the policy sorts by (unused by
  // fcfs).
  void push(std::int32_t slot, std::int64_t sort_key) {
    if (policy_ == Policy::fcfs) {
      in_order_.push_back(slot);
    } else {
      heap_.push_back({sort_key, next_arrival_++, slot});
      std::push_heap(heap_.begin(), heap_.end(), later);
    }
  }
  void push_preempted(std::int32_t slot, std::int64_t sort_key) {
    if (policy_ == Policy::priority)
      push(slot, sort_key);
    else
      preempted_.push_back(slot);
  }

  std::size_t size() const { return preempted_.size() + in_order_.size() + heap_.size(); }
  bool empty() const { return size() == 0; }
  std::int32_t front() const {
    if (!preempted_.empty()) return preempted_.back();
    return in_order_.empty() ? heap_.front().slot : in_order_.front();
  }
  void pop() {
    if (!preempted_.empty()) {
      preempted_.pop_back();
    } else if (!in_order_.empty()) {
      in_order_.pop_front();
    } else {
      std::pop_heap(heap_.begin(), heap_.end(), later);
      heap_.pop_back();
    }
  }

 private:
  struct Entry {
    std::int64_t key, arrival;
    std::int32_t slot;
  };
  static bool later(const Entry& a, const Entry& b) {
    return a.key != b.key ? a.key > b.key : a.arrival > b.arrival;
  }

  Policy policy_;
  std::vector<std::int32_t> preempted_;  // the last one is next
  std::deque<std::int32_t> in_order_;    // fcfs
  std::vector<Entry> heap_;              // the other policies
  std::int64_t next_arrival_ = 0;
};

}  // namespace moesim
