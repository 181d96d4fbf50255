// Shapes worth measuring: those of DeepSeek-V3's kernels, their shards under tensor parallelism,
// and anchors that pin the form down where no model has a shape (long K behind one column of tiles
// breaks rooflines). What a fit does not see it cannot know: rows one past a tile edge (129, 257,
// 513) take the error of unseen rows from 22 % at the 95th percentile to 9 %.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "calibrate/reference.hpp"

namespace moesim {

struct Weights {
  std::int64_t n = 0, k = 0;
};

// Of DeepSeek-V3, the most telling first; `core_weights` are its first few and one anchor.
std::span<const Weights> core_weights();
std::span<const Weights> model_weights();
std::span<const Weights> shard_weights();
std::span<const Weights> anchor_weights();

std::span<const std::int64_t> core_rows();  // powers of two and three tile edges
std::span<const std::int64_t> all_rows();

// Calls of each tier in turn.
class Grid {
 public:
  void add(Tier tier, Shape shape);
  void add(GridCall call);  // skips a call that is there already
  std::vector<GridCall> take();

 private:
  std::vector<GridCall> calls_;
};

// SMs that communication kernels take away (DeepEP and DeepSeek-V3 use 20 of 132).
inline constexpr std::int64_t kTakenSms[] = {4, 8, 12, 16, 20, 24};

// Memory-bound kernels over 64 KiB to 1 GiB in whole rows, and one size on fewer SMs.
std::vector<GridCall> bytes_grid(std::int64_t row_bytes, std::int64_t num_sms);

}  // namespace moesim
