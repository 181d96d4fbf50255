// The least loaded of a unit's ranks: a tournament, so that 144 ranks cost 8 comparisons a change.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace moesim {

class RankChoice {
 public:
  explicit RankChoice(std::int64_t num_ranks)
      : leaves_(std::bit_ceil(static_cast<std::uint64_t>(num_ranks))),
        winner_(2 * leaves_),
        load_(leaves_, INT64_MAX) {
    std::fill_n(load_.begin(), num_ranks, 0);
    for (std::size_t i = 0; i < leaves_; ++i) winner_[leaves_ + i] = static_cast<std::int32_t>(i);
    for (std::size_t node = leaves_ - 1; node > 0; --node) play(node);
  }
  void set(std::int32_t rank, std::int64_t load) {
    if (load_[rank] == load) return;
    load_[rank] = load;
    for (std::size_t node = (leaves_ + rank) / 2; node > 0; node /= 2) play(node);
  }
  std::int32_t least() const { return winner_[1]; }  // of equals the lowest rank

 private:
  void play(std::size_t node) {
    const std::int32_t left = winner_[2 * node], right = winner_[2 * node + 1];
    winner_[node] = load_[right] < load_[left] ? right : left;
  }
  std::size_t leaves_;
  std::vector<std::int32_t> winner_;  // [node of the tournament]; the leaves are the ranks
  std::vector<std::int64_t> load_;    // [leaf]
};

}  // namespace moesim
