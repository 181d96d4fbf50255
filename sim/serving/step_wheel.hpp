// What happens to the requests of each rank in coming steps: a timing wheel (Varghese and Lauck
// 1987) of one turn, whose rows are steps. A row has the ranks side by side, so that a step reads
// one piece of memory. Entries are links between slots that a rank owns: adding, removing and
// taking cost O(1), and nothing is allocated.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "model/errors.hpp"

namespace moesim {

inline constexpr std::int32_t kNoSlot = -1;

// To be a member `link` of a rank's slots.
struct WheelLink {
  std::int32_t next = kNoSlot, previous = kNoSlot;
};

class StepWheel {
 public:
  struct Cell {
    std::int32_t first = kNoSlot;  // of the slots whose stretch ends with this step
    std::int32_t pages_due = 0;    // that decoding requests need before it
  };

  // Nothing may be `most_steps` ahead or more.
  StepWheel(std::int64_t most_steps, std::int64_t num_ranks)
      : num_ranks_(num_ranks),
        mask_(std::bit_ceil(static_cast<std::uint64_t>(most_steps)) - 1),
        cells_((mask_ + 1) * static_cast<std::uint64_t>(num_ranks)) {}

  Cell& at(std::int64_t step, std::int32_t rank) {
    return cells_[(static_cast<std::uint64_t>(step) & mask_) * num_ranks_ + rank];
  }
  void clear() { cells_.assign(cells_.size(), Cell{}); }

  template <class Slot>
  static void add(Cell& cell, std::vector<Slot>& slots, std::int32_t slot) {
    slots[slot].link = {cell.first, kNoSlot};
    if (cell.first != kNoSlot) slots[cell.first].link.previous = slot;
    cell.first = slot;
  }
  template <class Slot>
  static void remove(Cell& cell, std::vector<Slot>& slots, std::int32_t slot) {
    const WheelLink link = slots[slot].link;
    if (link.next != kNoSlot) slots[link.next].link.previous = link.previous;
    if (link.previous != kNoSlot) {
      slots[link.previous].link.next = link.next;
    } else {
      ENSURE(cell.first == slot);
      cell.first = link.next;
    }
  }

 private:
  std::uint64_t num_ranks_, mask_;
  std::vector<Cell> cells_;  // [step & mask, rank]
};

}  // namespace moesim
