// DualPipe (DeepSeek-V3, section 3.2.1), in the eight parts its authors publish
// (deepseek-ai/DualPipe, step()). Microbatches enter at both ends; a rank holds stage `rank` for
// one direction and stage pp - 1 - rank for the other. "Near" is the direction that enters at the
// rank's own half, "far" the other. Bubble (pp/2 - 1)(F&B + B - 3W); pp + 1 chunks alive.
#include "sim/schedule/dualpipe.hpp"

#include <algorithm>
#include <deque>

namespace moesim {
namespace {

class Builder {
 public:
  explicit Builder(const std::array<std::int32_t, 2>& parts) : parts_(parts) {}

  void forward(int side) { list_.push_back({StepKind::forward, next_f(side), {}}); }
  void backward(int side) { list_.push_back({StepKind::backward, {}, next_b(side)}); }
  void backward_input(int side) {
    list_.push_back({StepKind::backward_input, {}, next_b(side)});
    waiting_.push_back(list_.back().b);
  }
  void weight() {
    ENSURE(!waiting_.empty());
    list_.push_back({StepKind::weight, {}, waiting_.front()});
    waiting_.pop_front();
  }
  void pair(int f_side, int b_side) {
    const Chunk f = next_f(f_side);
    list_.push_back({StepKind::forward_backward, f, next_b(b_side)});
  }
  std::vector<ScheduleStep> take() {
    ENSURE(waiting_.empty());
    return std::move(list_);
  }

 private:
  Chunk next_f(int side) { return {parts_[static_cast<std::size_t>(side)], next_f_[side]++}; }
  Chunk next_b(int side) { return {parts_[static_cast<std::size_t>(side)], next_b_[side]++}; }

  std::array<std::int32_t, 2> parts_;  // of near and of far chunks
  std::int32_t next_f_[2] = {0, 0}, next_b_[2] = {0, 0};
  std::deque<Chunk> waiting_;
  std::vector<ScheduleStep> list_;
};

}  // namespace

std::vector<ScheduleStep> half_pipe_list(const HalfPipeRank& rank) {
  constexpr int near = 0, far = 1;
  const std::int64_t from_end = rank.from_end, to_middle = rank.half - from_end - 1;
  Builder b(rank.parts);
  for (std::int64_t i = 0; i < 2 * to_middle; ++i) b.forward(near);  // 1
  for (std::int64_t i = 0; i <= from_end; ++i) {                     // 2
    b.forward(near);
    b.forward(far);
  }
  for (std::int64_t i = 0; i < to_middle; ++i) {  // 3
    b.backward_input(far);
    b.weight();
    b.forward(far);
  }
  for (std::int64_t i = 0; i < rank.num_microbatches - 2 * rank.half + from_end + 1; ++i) {  // 4
    if (i == 0 && to_middle == 0) {  // next to the middle the first pair is not overlapped, which
                                     // shortens the bubble
      b.forward(near);
      b.backward(far);
    } else {
      b.pair(near, far);
    }
    b.pair(far, near);
  }
  for (std::int64_t i = 0; i < to_middle; ++i) {  // 5
    b.backward(far);
    b.pair(far, near);
  }
  bool split =
      false;  // 6: the second half of these backwards leave their weight gradients for later
  for (std::int64_t i = 0; i <= from_end; ++i) {
    const bool turn = i == (from_end + 1) / 2;
    if (turn && from_end % 2 == 1) split = true;
    split ? b.backward_input(far) : b.backward(far);
    if (turn && from_end % 2 == 0) split = true;
    split ? b.backward_input(near) : b.backward(near);
  }
  for (std::int64_t i = 0; i < to_middle; ++i) {  // 7
    b.weight();
    b.backward_input(near);
  }
  for (std::int64_t i = 0; i <= from_end; ++i) b.weight();  // 8
  return b.take();
}

namespace {

std::vector<ScheduleStep> steps(const PipelineRun& run, std::int64_t rank) {
  HalfPipeRank half{
      run.pp / 2, std::min(rank, run.pp - 1 - rank), run.num_microbatches / 2, {0, 1}};
  if (rank >= run.pp / 2) half.parts = {1, 0};  // near what enters at the other end
  return half_pipe_list(half);
}

std::string refusal(const PipelineRun& run) {
  if (run.num_microbatches % 2 != 0 || run.num_microbatches < 2 * run.pp)
    return "DualPipe over " + std::to_string(run.pp) + " stages needs an even number of at least " +
           std::to_string(2 * run.pp) + " microbatches a pipeline, found " +
           std::to_string(run.num_microbatches);
  return "";
}

}  // namespace

extern const Schedule kDualPipe;
const Schedule kDualPipe = {ScheduleKind::dualpipe, steps, refusal};

}  // namespace moesim
