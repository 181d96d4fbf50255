// What a request waits for, keyed by the step at whose end it happens: a timing wheel (Varghese and
// Lauck 1987) of one turn. Entries are links between slots that the caller owns, so adding, removing
// and taking cost O(1) and nothing is allocated.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "model/errors.hpp"

namespace moesim {

inline constexpr std::int32_t kNoSlot = -1;

// To be a member `link` of the caller's slots.
struct WheelLink {
  std::int32_t next = kNoSlot, previous = kNoSlot;
};

template <class Slot>
class StepWheel {
 public:
  // Nothing may be further ahead than `most_steps`.
  explicit StepWheel(std::int64_t most_steps)
      : heads_(std::bit_ceil(static_cast<std::uint64_t>(most_steps) + 1), kNoSlot),
        mask_(heads_.size() - 1) {}

  void add(std::vector<Slot>& slots, std::int32_t slot, std::int64_t step) {
    std::int32_t& head = heads_[step & mask_];
    slots[slot].link = {head, kNoSlot};
    if (head != kNoSlot) slots[head].link.previous = slot;
    head = slot;
  }
  void remove(std::vector<Slot>& slots, std::int32_t slot, std::int64_t step) {
    const WheelLink link = slots[slot].link;
    if (link.next != kNoSlot) slots[link.next].link.previous = link.previous;
    if (link.previous != kNoSlot) {
      slots[link.previous].link.next = link.next;
    } else {
      ENSURE(heads_[step & mask_] == slot);
      heads_[step & mask_] = link.next;
    }
  }
  // First of those of `step`, which are followed by `link.next`; the wheel forgets them.
  std::int32_t take(std::int64_t step) {
    std::int32_t& head = heads_[step & mask_];
    const std::int32_t first = head;
    head = kNoSlot;
    return first;
  }

 private:
  std::vector<std::int32_t> heads_;  // [a power of two]
  std::uint64_t mask_;
};

}  // namespace moesim
