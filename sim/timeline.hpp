// What a simulated step leaves behind: where every tick of every rank went, and, for chosen ranks,
// each operation.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/block_cost.hpp"
#include "sim/schedule/schedule.hpp"

namespace moesim {

// The step as the schedule sees it, one row per kind of step ("Insights into DeepSeek-V3", ISCA'25,
// Table 4): totals on a rank, with stalls inside a step counted to it and gaps between steps to the
// bubble.
enum class SchedulePhase : std::uint8_t {
  forward,
  bubble,
  backward,
  weight,
  forward_backward,
  optimizer
};
inline constexpr std::size_t kNumSchedulePhases = 6;
inline constexpr std::array<CategoryName, kNumSchedulePhases> kSchedulePhaseNames = {
    {{"forward_s", "1F"},
     {"bubble_s", "bubble"},
     {"backward_s", "1B"},
     {"weight_s", "1W"},
     {"forward_backward_s", "1F1B"},
     {"optimizer_s", "opt"}}};

// Each rank's ticks, twice: by hardware category and by schedule phase. Both sum to the step.
struct RankTimes {
  std::int64_t rank = 0, pp = 0;
  std::array<Tick, kNumCategories> by_category{};
  std::array<Tick, kNumSchedulePhases> by_phase{};
};

enum class StreamKind : std::uint8_t { compute, communication };

struct Span {
  std::int64_t rank = 0;
  StreamKind stream = StreamKind::compute;
  std::string name;
  Tick start = 0, end = 0;
};

struct Timeline {
  Tick step = 0;  // duration of the whole step
  std::vector<RankTimes> ranks;
  std::vector<Span> spans;
  // Over all ranks, per rank: seconds of compute work by origin of the estimate, and by named loss.
  std::array<double, kNumOrigins> seconds_by_origin{};
  std::array<double, kNumLosses> seconds_by_loss{};
};

// Chrome / Perfetto trace events, one process per rank, one thread per stream. `rank_name` says
// what a rank's process is called.
std::string chrome_trace(const std::vector<Span>& spans,
                         const std::function<std::string(std::int64_t)>& rank_name);

}  // namespace moesim
