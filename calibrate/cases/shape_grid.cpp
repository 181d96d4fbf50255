#include "calibrate/cases/shape_grid.hpp"

#include <algorithm>
#include <array>

namespace moesim {
namespace {

// {n, k}. Expert gate and up, expert down; MLA output, query up, joint down-projection; one column
// of tiles with long K.
constexpr Weights kCore[] = {
    {4096, 7168}, {7168, 2048}, {7168, 16384}, {24576, 1536}, {2112, 7168}, {128, 16384}};
// MLA: query and key-value down-projections alone, key-value up. Dense feed-forward.
constexpr Weights kModel[] = {
    {1536, 7168}, {576, 7168}, {32768, 512}, {36864, 7168}, {7168, 18432}};
constexpr Weights kShards[] = {{3072, 1536},
                               {12288, 1536},
                               {4096, 512},
                               {16384, 512},
                               {7168, 8192},
                               {7168, 4096},
                               {2048, 7168},
                               {1024, 7168},
                               {7168, 1024},
                               {512, 7168}};
constexpr Weights kAnchors[] = {{512, 512},
                                {1024, 1024},
                                {4096, 4096},
                                {8192, 8192},
                                {16384, 1024},
                                {1024, 16384},
                                {16384, 128}};

constexpr std::int64_t kCoreRows[] = {
    1, 8, 32, 64, 128, 129, 256, 257, 512, 1024, 2048, 4096, 8192, 16384};
constexpr std::int64_t kAllRows[] = {1,    2,    4,    8,    16,    32,    48,    64,   80,
                                     96,   112,  128,  129,  160,   192,   224,   256,  257,
                                     384,  512,  513,  768,  1024,  1280,  1536,  2048, 2560,
                                     3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768};

}  // namespace

std::span<const Weights> core_weights() { return kCore; }
std::span<const Weights> model_weights() { return kModel; }
std::span<const Weights> shard_weights() { return kShards; }
std::span<const Weights> anchor_weights() { return kAnchors; }
std::span<const std::int64_t> core_rows() { return kCoreRows; }
std::span<const std::int64_t> all_rows() { return kAllRows; }

void Grid::add(Tier tier, Shape shape) { add({tier, {std::move(shape), {}, 0, false}}); }

void Grid::add(GridCall call) {
  const bool known = std::any_of(
      calls_.begin(), calls_.end(), [&](const GridCall& c) { return c.call == call.call; });
  if (!known) calls_.push_back(std::move(call));
}

std::vector<GridCall> Grid::take() {
  std::stable_sort(calls_.begin(), calls_.end(), [](const GridCall& a, const GridCall& b) {
    return a.tier < b.tier;
  });
  return std::move(calls_);
}

std::vector<GridCall> bytes_grid(std::int64_t row_bytes, std::int64_t num_sms) {
  constexpr int kSmallest = 16, kLargest = 30, kOnFewerSms = 28;  // powers of two
  const auto whole_rows = [&](int power) {
    return std::max<std::int64_t>(1, (std::int64_t{1} << power) / row_bytes) * row_bytes;
  };
  Grid grid;
  for (const int power : {24, 28, 20, 30, 16, 22, 26}) grid.add(Tier::core, {whole_rows(power)});
  for (int power = kSmallest; power <= kLargest; ++power)
    grid.add(Tier::model, {whole_rows(power)});
  for (const std::int64_t taken : kTakenSms)
    if (taken < num_sms)
      grid.add({Tier::edges, {{whole_rows(kOnFewerSms)}, {}, num_sms - taken, false}});
  return grid.take();
}

}  // namespace moesim
